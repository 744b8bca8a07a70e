// Light or dark: as the system wishes, or as the reader says, for as long as the page is open. Nothing is stored:
// a page from a disk may have no storage. Charts on a canvas listen to the document's "themechange".
const THEMES = [["", "as the system"], ["light", "light"], ["dark", "dark"]];

function drawTheme(holder) {
  const select = html("select", { "aria-label": "Colours of the page" }, THEMES.map(([key, label]) => html("option", { value: key }, label)));
  const root = document.documentElement, tell_ = () => document.dispatchEvent(new Event("themechange"));
  select.addEventListener("change", () => {
    if (select.value) root.dataset.theme = select.value;
    else delete root.dataset.theme;
    tell_();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell_);
  holder.append(html("label", { class: "theme" }, ["Colours ", select]));
}
