// A bar with the page's sections, the one in view marked, and the choice of colours.
function drawNavigation() {
  const bar = document.getElementById("navigation");
  const sections = [...document.querySelectorAll("main > section[id]")].filter((section) => !section.hidden);
  const links = new Map(sections.map((section) => {
    const heading = section.dataset.title || section.querySelector("h2").textContent;
    return [section, html("a", { href: `#${section.id}` }, heading)];
  }));
  bar.append(html("ul", {}, [...links.values()].map((link) => html("li", {}, link))));
  drawTheme(bar);
  const mark = () => {
    const line = bar.getBoundingClientRect().bottom + 24, atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const passed = sections.filter((section) => section.getBoundingClientRect().top <= line);
    const current = atEnd && scrollY > 0 ? sections[sections.length - 1] : passed[passed.length - 1];
    for (const [section, link] of links) {
      if (section === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}
