// What a look at a page would find, for scripts; runs inside the page.
//
// Labels on others, or outside of their plot; numbers that no one would write.
export const overlaps = () => {
	const wrong = [];
	document.querySelectorAll(".plot").forEach((plot) => {
		const { drawn, plot: box } = plot.labels || { drawn: [], plot: {} };
		drawn.forEach((one, k) => {
			if (one.bottom > box.top || one.top < 0) wrong.push("over the curves: " + one.text);
			if (one.left < box.left - 1 || one.right > box.right + 1) wrong.push("beyond the plot: " + one.text);
			drawn.slice(k + 1).forEach((other) => {
				if (one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom)
					wrong.push(one.text + " on " + other.text);
			});
		});
	});
	document.querySelectorAll("#tokens canvas").forEach((canvas) =>
		(canvas.labels || []).forEach((one, k, all) =>
			all.slice(k + 1).forEach((other) => {
				if (one.left < other.right && other.left < one.right && Math.abs(one.foot - other.foot) < 12)
					wrong.push(one.name + " on " + other.name);
			}),
		),
	);
	document.querySelectorAll("table.figures th, table.figures td").forEach((cell) => {
		if (cell.scrollWidth > cell.clientWidth + 1) wrong.push("spills: " + cell.textContent);
	});
	// `=null` is what `--set` takes for a parameter's default.
	// biome-ignore lint/performance/useDomNodeTextContent: what a reader sees, not what is hidden.
	if (/\d\.\d{7,}|NaN|undefined|(?<!=)null/.test(document.querySelector("main").innerText))
		wrong.push("an unreadable number");
	return wrong;
};
