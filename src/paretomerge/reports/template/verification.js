// Previews against the truth: one small scatter per objective, with the line on which they agree.
function verifiedChart(each, tasks) {
  const width = 420, height = 360, left = 62, right = 14, top = 30, bottom = 50;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": `Previews of ${each.name} against jointly finetuned models; the table below has the numbers.` });
  const all = [...each.recalibrated, ...each.preview, ...each.truth, ...each.preview.map((v, i) => v - each.preview_half[i]), ...each.preview.map((v, i) => v + each.preview_half[i]),
    ...each.truth.map((v, i) => v - each.truth_half[i]), ...each.truth.map((v, i) => v + each.truth_half[i])];
  let low = Math.min(...all), high = Math.max(...all);
  const pad = 0.06 * (high - low || Math.abs(high) || 1);
  low -= pad;
  high += pad;
  const X = (value) => left + ((value - low) / (high - low)) * (width - left - right);
  const Y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  const axisX = { name: each.recalibrated.length ? "preview, recalibrated" : "preview" }, axisY = { name: "jointly finetuned" };
  drawFrame(chart, { width, height, left, right, top, bottom, lowX: low, highX: high, lowY: low, highY: high, X, Y, axisX, axisY });
  chart.append(svg("text", { x: (left + width - right) / 2, y: 18, "text-anchor": "middle", class: "axis" }, short(each.label, 46)));
  chart.append(svg("path", { d: `M${X(low)},${Y(low)}L${X(high)},${Y(high)}`, class: "link" }));
  each.preview.forEach((value, i) => {
    const x = X(value), y = Y(each.truth[i]), half = each.preview_half[i], tall = each.truth_half[i];
    if (half) chart.append(svg("path", { d: `M${X(value - half).toFixed(1)},${y.toFixed(1)}H${X(value + half).toFixed(1)}`, class: "error line-merged" }));
    if (tall) chart.append(svg("path", { d: `M${x.toFixed(1)},${Y(each.truth[i] - tall).toFixed(1)}V${Y(each.truth[i] + tall).toFixed(1)}`, class: "error line-trained" }));
    const words = tasks.map((task, t) => `${short(task, 30)} ${show(each.weights[i][t], 3)}`).join(", ");
    const decimals = decimalsFor([low, high], []), found = each.recalibrated[i];
    const mark = (origin, across, what) => {
      const title = svg("title", {}, `${words}: ${what} ${show(across, decimals)}, jointly finetuned ${show(each.truth[i], decimals)}`);
      chart.append(svg("path", { d: markPath(origin, X(across), y, 5), class: `mark fill-${origin}` }, title));
    };
    mark("merged", value, "preview");
    if (found === undefined) return;
    chart.append(svg("path", { d: `M${x.toFixed(1)},${y.toFixed(1)}H${X(found).toFixed(1)}`, class: "link" }));
    mark("predicted", found, "recalibrated without this truth");
  });
  return chart;
}

function drawVerified(report) {
  const holder = document.getElementById("verified");
  if (!holder) return;
  for (const each of report.verified) holder.append(html("div", { class: "chart span-4" }, verifiedChart(each, report.tasks)));
  const keys = [keySymbol("merged"), " the preview, with the intervals of both measurements. "];
  if (report.verified.some((each) => each.recalibrated.length)) keys.push(keySymbol("predicted"), " what the recalibration predicts from all other truths. ");
  holder.after(html("p", { class: "hint keys" }, [...keys, "On the dotted diagonal they agree with the jointly finetuned model."]));
}
