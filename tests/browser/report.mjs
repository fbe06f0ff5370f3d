// Drives every kind of report in Chromium: nothing fails, nothing is fetched, the timeline zooms,
// stalls answer, and axe-core finds no serious problem. Screenshots stay in target/screenshots.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { overlaps } from "./look.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const target = resolve(process.env.CARGO_TARGET_DIR || join(root, "target"));
const binary = process.env.METRON_SIM || join(target, "debug/metron-sim");
const shots = join(target, "screenshots");
const axeSource = readFileSync(join(here, "../../node_modules/axe-core/axe.min.js"), "utf8");
const quick = process.argv.includes("--quick");

const work = mkdtempSync(join(tmpdir(), "metron-report-"));
mkdirSync(shots, { recursive: true });
const sim = (...args) => {
	try {
		return execFileSync(binary, [...args, "-q"], { cwd: root, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });
	} catch (error) {
		// 3: the promise is not kept, which is a result.
		if (error.status === 3) return error.stdout;
		throw new Error(`${args.join(" ")}: ${error.stderr}`);
	}
};

const hostile = `<img src=x onerror="document.title='owned'"></script><script>document.title='owned'</script>`;
const reports = {};
const make = (name, ...args) => {
	reports[name] = join(work, `${name}.html`);
	sim(...args, "--report", reports[name]);
};
make("run", "run", "scenarios/chat.yaml");
make("explain", "explain", "scenarios/burst.yaml");
sim("run", "scenarios/chat.yaml", "--set", "workload.requests=300", "--tokens", join(work, "tokens.jsonl"));
make("evaluate", "evaluate", join(work, "tokens.jsonl"), "--ttft", "500ms");
make(
	"capacity",
	"capacity",
	"scenarios/chat.yaml",
	"--set",
	"workload.requests=200",
	"--seeds",
	"2",
	"--precision",
	"5%",
);
make(
	"sweep",
	"sweep",
	"scenarios/chat.yaml",
	"--set",
	"workload.requests=150",
	"--vary",
	"schedulers.sarathi.chunk_size=128,256,512,1024",
	"--vary",
	"workload.arrivals.poisson.rate=2,4,6",
	"--pareto",
	"throughput.output_tokens_per_s,fluidity.fluid_request_share",
);
make("big", "run", "scenarios/chat.yaml", "--set", "workload.requests=6000");
make("pipe", "run", "scenarios/chat.yaml", "--set", "parallelism.pipeline=2", "--set", "workload.requests=400");
writeFileSync(
	join(work, "hostile.yaml"),
	readFileSync(join(root, "scenarios/chat.yaml"), "utf8").replace(/^name:.*$/m, `name: ${JSON.stringify(hostile)}`),
);
make("hostile", "run", join(work, "hostile.yaml"), "--set", "workload.requests=50");
make(
	"replicas",
	"run",
	"scenarios/chat.yaml",
	"--set",
	"replicas=3",
	"--set",
	"workload.requests=200",
	"--set",
	`description=${JSON.stringify(hostile)}`,
);

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
	args: [
		"--no-sandbox",
		"--headless",
		"--disable-gpu",
		"--disable-quic",
		"--no-first-run",
		"--disable-background-networking",
		"--disable-component-update",
		"--disable-sync",
	],
});
const failures = [];
const only = process.argv.find((one) => one.startsWith("--only="))?.slice(7);
const check = async (name, act) => {
	if (only && !new RegExp(only).test(name)) return;
	try {
		await act();
	} catch (error) {
		failures.push(`${name}: ${error.message}`);
		console.error(`FAILED ${name}: ${error.message}`);
	}
};

const open = async (name, options) => {
	const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
	const page = await context.newPage();
	const trouble = [];
	page.on("console", (message) => {
		if (["error", "warning"].includes(message.type())) trouble.push(message.text());
	});
	page.on("pageerror", (error) => trouble.push(String(error)));
	page.on("request", (request) => {
		const url = request.url();
		if (!url.startsWith("file:") || url !== pathToFileURL(reports[name]).href)
			trouble.push("asked for " + url.slice(0, 200));
	});
	await page.goto(pathToFileURL(reports[name]).href);
	await page.waitForSelector("html[data-ready=yes]", { timeout: 20000 });
	await page.waitForTimeout(150);
	return { page, context, trouble };
};
const audit = async (page, name) => {
	// The policy of the page forbids foreign scripts: axe runs from the outside.
	await page.evaluate(axeSource);
	const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
	const bad = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
	assert.deepEqual(
		bad.map(
			(one) =>
				`${one.id}: ${one.nodes
					.slice(0, 2)
					.map((node) => node.html.slice(0, 160))
					.join(" | ")}`,
		),
		[],
		name,
	);
};
const ink = (page, selector) =>
	page.evaluate((selector) => {
		const canvas = document.querySelector(selector),
			copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
		const context = copy.getContext("2d", { willReadFrequently: true });
		context.drawImage(canvas, 0, 0);
		const data = context.getImageData(0, 0, copy.width, copy.height).data;
		let sum = 0,
			colors = new Set();
		for (let k = 0; k < data.length; k += 4)
			if (data[k + 3]) {
				sum++;
				colors.add((data[k] << 16) | (data[k + 1] << 8) | data[k + 2]);
			}
		return { sum, colors: colors.size, hash: data.reduce((h, v) => (Math.imul(h, 31) + v) | 0, 7) };
	}, selector);

const kinds = Object.keys(reports);
for (const name of kinds) {
	await check(`${name} loads`, async () => {
		const html = readFileSync(reports[name], "utf8");
		const data = html.match(/<script type="application\/json" id="data">([^<]*)<\/script>/)[1];
		const packed = [...html.matchAll(/<script type="text\/plain" id="packed-\d+">([^<]*)<\/script>/g)].reduce(
			(sum, one) => sum + one[1].length,
			0,
		);
		assert(html.length - data.length - packed < 500_000, `${html.length - data.length - packed} bytes beside the data`);
		assert(data.length < 4_000_000, `${data.length} bytes of data`);
		for (const scheme of ["light", "dark"]) {
			const { page, context, trouble } = await open(name, { colorScheme: scheme });
			for (const width of quick ? [1400] : [360, 800, 1400]) {
				await page.setViewportSize({ width, height: 900 });
				await page.waitForTimeout(120);
				const wide = await page.evaluate(
					() => document.documentElement.scrollWidth - document.documentElement.clientWidth,
				);
				assert(wide <= 0, `${wide} px wider than ${width}`);
				if (name !== "hostile") assert.deepEqual(await page.evaluate(overlaps), [], `${name} at ${width}`);
				if (name !== "hostile")
					await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
			}
			await audit(page, `${name} ${scheme}`);
			assert.deepEqual(trouble, []);
			assert.notEqual(await page.title(), "owned");
			await context.close();
		}
	});
}

await check("marks stand at their figures", async () => {
	for (const name of ["capacity", "sweep"]) {
		const { page, context, trouble } = await open(name);
		const off = await page.evaluate((name) => {
			const data = JSON.parse(document.getElementById("data").textContent);
			const canvas = document.querySelector(`#${name} canvas`);
			let xs;
			if (name === "capacity") {
				const border = Math.max(...data.capacity.schedulers.map((one) => one.load || 0));
				const all = data.capacity.schedulers.flatMap((one) =>
					one.probed.filter((p) => p.fluid != null).map((p) => p.rate),
				);
				xs = border ? all.filter((x) => x <= border * 2.5) : all;
			} else {
				const [a, b] = data.sweep.axes;
				xs = data.sweep.points.filter((p) => p.figures[a] != null && p.figures[b] != null).map((p) => p.figures[a]);
			}
			const px = canvas.placed.map((one) => one[0]);
			if (px.length !== xs.length) return `${px.length} marks of ${xs.length}`;
			// A straight line through the two ends goes through all.
			const low = xs.indexOf(Math.min(...xs)),
				high = xs.indexOf(Math.max(...xs));
			const scale = (px[high] - px[low]) / (xs[high] - xs[low]);
			return Math.max(...xs.map((x, k) => Math.abs(px[low] + (x - xs[low]) * scale - px[k])));
		}, name);
		assert(typeof off === "number" && off < 0.5, `${name}: ${off}`);
		assert.deepEqual(trouble, []);
		await context.close();
	}
	const { page, context } = await open("capacity");
	assert.match(await page.textContent("#capacity .reading"), /the mean, over the seeds, of the highest load/);
	await context.close();
});

await check("hostile names are text", async () => {
	const { page, context } = await open("hostile");
	assert.equal(await page.textContent("h1"), hostile);
	assert.equal(await page.locator("img").count(), 0);
	await context.close();
});

await check("a logarithmic axis begins anywhere", async () => {
	const { page, context, trouble } = await open("run");
	await page.evaluate(() => {
		const box = document.body.appendChild(document.createElement("div"));
		for (let k = 0; k < 50; k++)
			Metron.cdf(box, {
				title: "plot " + k,
				unit: "s",
				log: true,
				curves: [{ label: "run", place: 0, count: 2, value: [1.12 * 10 ** (k / 50 - 3), 9], share: [0.5, 1] }],
			});
	});
	await page.waitForTimeout(300);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("the timeline zooms, moves and answers", async () => {
	const { page, context, trouble } = await open("run");
	const canvas = page.locator("canvas.timeline").first();
	await canvas.scrollIntoViewIfNeeded();
	await page.waitForTimeout(400);
	const view = () =>
		page.evaluate(() => ({ ...Metron.reportTimeline.view, whole: { ...Metron.reportTimeline.whole } }));
	const begin = await view();
	const drawn = await ink(page, "canvas.timeline");
	assert(drawn.colors > 5, `only ${drawn.colors} colours drawn`);
	const box = await canvas.boundingBox();
	await page.mouse.move(box.x + box.width / 2, box.y + 60);
	for (let k = 0; k < 40; k++) await page.mouse.wheel(0, -400);
	await page.waitForTimeout(200);
	const near = await view();
	assert(near.to - near.from < (begin.to - begin.from) / 1000, "the wheel zooms in");
	assert.notEqual((await ink(page, "canvas.timeline")).hash, drawn.hash, "and it is drawn");
	// Few enough to see each iteration, which says what it is.
	await page.mouse.move(box.x + box.width / 2 + 3, box.y + 60);
	assert.match(
		await page.locator("#timeline .readout.tall").first().textContent(),
		/^(Iteration [\d,]+ at|Idle|Request)/,
	);
	await page.mouse.down();
	await page.mouse.move(box.x + box.width / 2 - 200, box.y + 60, { steps: 4 });
	await page.mouse.up();
	assert((await view()).from > near.from, "dragging moves");
	await canvas.focus();
	await page.keyboard.press("-");
	await page.keyboard.press("ArrowLeft");
	assert((await view()).to - (await view()).from > near.to - near.from, "minus zooms out");
	await page.keyboard.press("0");
	assert.equal((await view()).from, begin.from);
	assert.equal((await view()).to, begin.to);
	// Keys alone open a stall's story.
	await page.keyboard.press("n");
	assert.match(
		await page.locator("#timeline .readout.tall").first().textContent(),
		/^Request \d+ (stood still|waited)/,
	);
	await page.keyboard.press("Enter");
	assert.equal(await page.locator(".stall.chosen").count(), 1, "Enter chooses the story");
	assert.equal(await page.evaluate(() => document.activeElement.classList.contains("chosen")), true);
	await page.evaluate(() => document.querySelector(".stall.chosen").classList.remove("chosen"));
	await canvas.focus();
	await page.keyboard.press("0");
	await page.screenshot({ path: join(shots, "timeline-whole.png") });
	// The worst stall: its story, its culprit framed, and its place in the list below.
	await page.getByRole("button", { name: "Show the worst stall" }).click();
	await page.waitForTimeout(600);
	const told = await page.locator("#timeline .readout.tall").allTextContents();
	assert(
		told.some((text) => /^Request \d+ (stood still|waited)/.test(text)),
		told.join(" / "),
	);
	await page.screenshot({ path: join(shots, "timeline-stall.png") });
	const stall = await page.evaluate(() => {
		const view = Metron.reportTimeline.view,
			run = JSON.parse(document.getElementById("data").textContent).runs;
		const all = run.flatMap((r, at) => r.stalls.map((s) => ({ ...s, at }))).sort((a, b) => b.beyond_ns - a.beyond_ns);
		return {
			share: ((all[0].from_us + all[0].to_us) / 2 - view.from) / (view.to - view.from),
			run: all[0].at,
			culprits: all[0].culprits.length,
		};
	});
	const lane = page.locator("canvas.timeline").nth(stall.run),
		place = await lane.boundingBox();
	const plain = await page.evaluate(() => document.querySelectorAll(".stall.chosen").length);
	assert.equal(plain, 0);
	await page.mouse.click(place.x + 72 + stall.share * (place.width - 76), place.y + 8);
	await page.waitForTimeout(300);
	assert.equal(await page.locator(".stall.chosen").count(), 1, "a click chooses the story");
	await page.getByRole("button", { name: "Show in the timeline" }).first().click();
	await page.getByRole("button", { name: "Dark colours" }).click();
	assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
	await page.emulateMedia({ media: "print" });
	await page.waitForTimeout(300);
	assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light", "print is light");
	assert.equal(await page.locator(".controls").first().isVisible(), false);
	await page.pdf({ path: join(shots, "run.pdf"), format: "A4" });
	await page.setViewportSize({ width: 720, height: 1000 });
	await page.waitForTimeout(300);
	await page.screenshot({ path: join(shots, "run-print.png"), fullPage: true });
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("lanes of a pipeline frame what they did to each other", async () => {
	const { page, context, trouble } = await open("pipe");
	assert.deepEqual((await page.locator("#timeline .lane").allTextContents()).slice(0, 2), [
		"Replica 0, lane 0",
		"Replica 0, lane 1",
	]);
	const found = await page.evaluate(() => {
		const runs = JSON.parse(document.getElementById("data").textContent).runs;
		const at = runs[0].stalls.findIndex((stall) =>
			stall.culprits.slice(0, 4).some((one) => one.lane !== stall.replica && one.iterations_us.length),
		);
		const stall = runs[0].stalls[at],
			own = stall.replica,
			other = stall.culprits.find((one) => one.lane !== own && one.iterations_us.length).lane;
		return { at, own, other };
	});
	assert(found.at >= 0, "a stall of another lane's making");
	await page.locator("#stalls").getByRole("button", { name: "Show in the timeline" }).nth(found.at).click();
	await page.waitForTimeout(800);
	await page.locator("#timeline").screenshot({ path: join(shots, "timeline-pipeline.png") });
	const lanes = page.locator("canvas.timeline");
	const other = () => lanes.nth(found.other).evaluate((canvas) => canvas.toDataURL());
	const framed = await other();
	await lanes.nth(found.own).hover({ position: { x: 80, y: 110 } });
	await page.waitForTimeout(200);
	assert.notEqual(await other(), framed, "its frame goes with the stall");
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("worst, median and best are three requests, and no axis counts half tokens", async () => {
	for (const name of ["run", "explain", "evaluate"]) {
		const { page, context } = await open(name);
		const told = await page.evaluate(() =>
			JSON.parse(document.getElementById("data").textContent).runs.map((run) =>
				run.curves.map((curve) => [curve.place, curve.request, curve.tokens]),
			),
		);
		told.forEach((curves) => {
			assert.deepEqual(
				curves.map((one) => one[0]),
				["worst", "median", "best"],
				name,
			);
			assert.equal(new Set(curves.map((one) => one[1])).size, 3);
			assert(name === "evaluate" || curves.every((one) => one[2] >= 16));
		});
		assert.deepEqual(await page.evaluate(() => [Metron.ticks(0, 2, 6, true).at, Metron.ticks(0, 3, 30, true).at]), [
			[0, 1, 2],
			[0, 1, 2, 3],
		]);
		assert.deepEqual(
			await page.evaluate(() =>
				[
					[0.3, 0.1],
					[0.925, 0.025],
					[12, 5],
					[0.00012, 0.00002],
				].map(([v, step]) => Metron.tick(v, step)),
			),
			["0.3", "0.925", "12", "0.00012"],
		);
		await context.close();
	}
});

await check("a view wider than a stretch in detail has no empty ends", async () => {
	const { page, context } = await open("big");
	await page.getByRole("button", { name: "Show the worst stall" }).click();
	await page.waitForTimeout(600);
	const empty = await page.evaluate(() =>
		[...document.querySelectorAll("canvas.timeline")].map((/** @type {HTMLCanvasElement} */ canvas) => {
			// The row of iterations, at both ends: a busy GPU leaves no gap.
			const ratio = canvas.width / canvas.clientWidth,
				context = canvas.getContext("2d");
			const at = (x) => context.getImageData(Math.round(x * ratio), Math.round(42 * ratio), 1, 1).data.join();
			const track = context.getImageData(Math.round(80 * ratio), Math.round(160 * ratio), 1, 1).data.join();
			return [at(90), at(canvas.clientWidth - 20)].filter((color) => color === track).length;
		}),
	);
	assert.deepEqual(
		empty,
		empty.map(() => 0),
	);
	await context.close();
});

await check("a long run zooms to a single iteration anywhere, for a few bytes each", async () => {
	const { page, context, trouble } = await open("big");
	const lanes = await page.evaluate(() =>
		JSON.parse(document.getElementById("data").textContent).runs.flatMap((run) =>
			run.lanes.map((lane) => ({
				iterations: lane.iterations,
				each: lane.all.each,
				bytes: document.getElementById("packed-" + lane.packed.id).textContent.length,
			})),
		),
	);
	lanes.forEach((lane) => {
		assert(lane.each > 1, "long enough to be thinned");
		assert(lane.bytes <= 5 * lane.iterations, `${lane.bytes / lane.iterations} bytes an iteration`);
	});
	await page.locator("canvas.timeline").first().scrollIntoViewIfNeeded();
	for (const share of [0, 0.13, 0.37, 0.5, 0.71, 0.93, 1]) {
		await page.evaluate((share) => {
			const { whole, set } = Metron.reportTimeline,
				at = whole.from + (whole.to - whole.from) * share;
			set(at - 5e5, at + 5e5);
		}, share);
		await page.waitForFunction(
			() => /every iteration by itself/.test(document.querySelector("#timeline .readout").textContent),
			null,
			{ timeout: 5000 },
		);
	}
	// What is unpacked agrees with the columns that it was thinned to, all along both runs.
	const told = await page.evaluate(async () => {
		const wrong = [];
		let chunks = 0,
			looked = 0;
		for (const run of JSON.parse(document.getElementById("data").textContent).runs)
			for (const lane of run.lanes) {
				const { all } = lane,
					n = all.start_us.length,
					starts = Metron.running(all.start_us);
				for (let k = 0; k < n; k += Math.ceil(n / 60)) {
					const count = Math.min(all.each, lane.iterations - k * all.each);
					const from = starts[k],
						to = from + all.span_us[k],
						places = [k * all.each, (k + 1) * all.each];
					const got = await Metron.unpacked(lane, from, to, places),
						begin = places[0] - got.first;
					const most = (name) => Math.max(...got[name].slice(begin, begin + count)),
						least = (name) => Math.min(...got[name].slice(begin, begin + count)),
						sizes = Array.from({ length: count }, (_, at) => got.decodes[begin + at] + got.chunks[begin + at]);
					const same = [
						[got.each, 1],
						[Metron.running([...got.start_us])[begin], from],
						[most("decodes"), all.decodes[k]],
						[most("kv"), all.kv[k]],
						[most("waiting"), all.waiting[k]],
						[most("prefill_tokens"), all.prefill_tokens[k]],
						[most("chunks"), all.chunks[k]],
						[least("kv"), all.merged.kv_min[k]],
						[Math.max(...sizes), all.merged.batch[k]],
						[Math.min(...sizes), all.merged.batch_min[k]],
					];
					// Of an iteration the page keeps the most who waited at once while it ran, of a column the
					// fewest at any instant: those may be fewer.
					const fewer = all.merged.waiting_min[k] <= least("waiting");
					if (!fewer || same.some(([a, b]) => a !== b)) wrong.push([run.label, k, fewer, same]);
					looked++;
					chunks += got.who.request.length;
				}
				// Around a stall the page holds the same iterations another way: they say who prefilled.
				for (const detail of lane.details) {
					const from = detail.start_us[0],
						to = detail.start_us.reduce((a, b) => a + b, 0) + 1;
					const got = await Metron.unpacked(lane, from, to, [detail.first, detail.first + detail.start_us.length]),
						skip = got.first - detail.first;
					const who = (of, first) =>
						Metron.running([...of.column])
							.map((column, k) => [column + first, of.request[k], of.tokens[k]].join())
							.filter(
								(one) =>
									Number(one.split(",")[0]) >= detail.first + Math.max(0, skip) &&
									Number(one.split(",")[0]) < detail.first + detail.start_us.length - 1,
							);
					if (who(got.who, got.first).join(" ") !== who(detail.who, detail.first).join(" "))
						wrong.push([run.label, "who", detail.first]);
					looked++;
				}
			}
		return { wrong, chunks, looked };
	});
	assert.deepEqual(told.wrong, []);
	assert(told.looked > 100 && told.chunks > 100, `${told.looked} stretches, ${told.chunks} chunks`);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("marks of two schedulers do not hide each other", async () => {
	const { page, context } = await open("capacity");
	const hidden = await page.evaluate(() => {
		const capacity = JSON.parse(document.getElementById("data").textContent).capacity;
		const series = capacity.schedulers.flatMap((one, place) =>
			one.probed.filter((p) => p.fluid != null).map((p) => ({ place, rate: p.rate })),
		);
		const border = Math.max(0, ...capacity.schedulers.map((one) => one.load || 0)),
			near = border ? series.filter((p) => p.rate <= border * 2.5) : series;
		const { placed, sizes } = document.querySelector("#capacity canvas.surface");
		let pairs = 0,
			hidden = 0;
		placed.forEach(([x, y], k) =>
			placed.slice(0, k).forEach(([a, b], j) => {
				if (near[j].place !== near[k].place) {
					pairs++;
					// The lower one's rim shows beside the upper one.
					if (Math.hypot(x - a, y - b) + sizes[j] < sizes[k] + 2) hidden++;
				}
			}),
		);
		return { pairs, hidden };
	});
	assert(hidden.pairs > 0);
	assert.equal(hidden.hidden, 0);
	await context.close();
});

await check("plots are saved as pictures and data", async () => {
	for (const [name, section] of [
		["run", "cdfs"],
		["run", "timeline"],
		["evaluate", "cdfs"],
		["capacity", "capacity"],
		["sweep", "sweep"],
	]) {
		const { page, context } = await open(name, { acceptDownloads: true });
		const details = page.locator("#" + section + " details.save").first();
		await details.locator("summary").click();
		for (const kind of ["PNG", "SVG", "CSV"]) {
			const [download] = await Promise.all([
				page.waitForEvent("download"),
				details.getByRole("button", { name: new RegExp(kind) }).click(),
			]);
			const saved = readFileSync(await download.path()),
				what = name + " " + section + " " + kind;
			assert(download.suggestedFilename().endsWith("." + kind.toLowerCase()), what);
			if (kind === "PNG") assert.equal(saved.toString("latin1", 1, 4), "PNG", what);
			else if (kind === "SVG") assert.match(saved.toString(), /^<svg [\s\S]*Made by metron-sim[\s\S]*<\/svg>\n$/, what);
			else assert(saved.toString().split("\n").length > 4, what);
		}
		await context.close();
	}
});

await check("a report's scenario can be saved and run again", async () => {
	const { page, context } = await open("run", { acceptDownloads: true });
	const [download] = await Promise.all([
		page.waitForEvent("download"),
		page.getByRole("button", { name: "Download the scenario" }).click(),
	]);
	assert.equal(download.suggestedFilename(), "scenario.json");
	const file = join(work, "again.json");
	await download.saveAs(file);
	const again = JSON.parse(sim("run", file, "--format", "json").toString());
	// What follows from it says where each value comes from: from the file, now.
	const without = ({ derived, ...scenario }) => scenario;
	assert.deepEqual(without(again.scenario), without(JSON.parse(readFileSync(file, "utf8"))));
	await context.close();
	const measured = await open("evaluate");
	assert.equal(await measured.page.getByRole("button", { name: "Download the scenario" }).count(), 0);
	await measured.context.close();
});

await check("two fingers zoom", async () => {
	const { page, context } = await open("explain", { hasTouch: true, viewport: { width: 360, height: 740 } });
	const canvas = page.locator("canvas.timeline").first();
	await canvas.scrollIntoViewIfNeeded();
	const box = await canvas.boundingBox();
	const span = () => page.evaluate(() => Metron.reportTimeline.view.to - Metron.reportTimeline.view.from);
	const before = await span();
	const touch = await context.newCDPSession(page);
	const at = (a, b) => [
		{ x: box.x + a, y: box.y + 60, id: 1 },
		{ x: box.x + b, y: box.y + 60, id: 2 },
	];
	await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: at(150, 190) });
	for (let k = 1; k <= 8; k++)
		await touch.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: at(150 - 8 * k, 190 + 8 * k) });
	await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
	assert((await span()) < before * 0.7, `${await span()} of ${before}`);
	await context.close();
});

await check("points answer to pointer and keys", async () => {
	for (const { name, words } of [
		{ name: "sweep", words: /chunk_size=/ },
		{ name: "capacity", words: /requests\/s, seed/ },
	]) {
		const { page, context } = await open(name);
		const canvas = page.locator(`#${name} canvas.surface`).first();
		await canvas.focus();
		await page.keyboard.press("ArrowRight");
		const first = await page.locator(`#${name} .readout`).first().textContent();
		assert.match(first, words);
		await page.keyboard.press("ArrowRight");
		assert.notEqual(await page.locator(`#${name} .readout`).first().textContent(), first);
		if (name === "sweep") {
			await page.getByLabel("Across:").selectOption({ index: 2 });
			assert.equal(await page.locator("#sweep canvas.surface").count(), 1);
		}
		await context.close();
	}
});

await check("without scripts the answer is there", async () => {
	const context = await browser.newContext({ javaScriptEnabled: false });
	const page = await context.newPage();
	await page.goto(pathToFileURL(reports.run).href);
	assert.match(await page.textContent("#verdict"), /SLO/);
	assert((await page.locator("#figures tbody tr").count()) > 10);
	await context.close();
});

await browser.close();
rmSync(work, { recursive: true, force: true });
if (failures.length) {
	console.error(`${failures.length} failed`);
	process.exit(1);
}
console.log(`${kinds.length} reports in light and dark: fine; screenshots in ${shots}`);
