// Reads the embedded results and draws everything.
const report = JSON.parse(document.getElementById("data").textContent);
const { points, tasks } = report;
prepareLandscape(report.landscape, tasks);
setUpCharts(report);
if (points.origin.length) {
  drawPoints(report);
  bringUpToDate();
} else {
  document.getElementById("all-points").hidden = true;
}
if (report.chooser) drawExplorer();
drawVerified(report);
for (const holder of document.querySelectorAll(".copy.command")) holder.append(copyButton(holder.textContent, holder.firstChild));
for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
drawNavigation();
document.documentElement.dataset.ready = "yes";
