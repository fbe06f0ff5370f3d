// Drives the playground in Chromium as a newcomer would: turns dials, breaks settings, steps through
// iterations, clicks a stall, takes the tour. Nothing fails, nothing is fetched from elsewhere, and
// axe-core finds no serious problem. Screenshots stay in target/screenshots.
//
// With METRON_WASM it also drives the page that needs no server, opened as a file.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { courseChecks, readStep, readThrough } from "./course.mjs";
import { overlaps } from "./look.mjs";
import { moveChecks } from "./moves.mjs";
import { planChecks, planInside } from "./plan.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const target = resolve(process.env.CARGO_TARGET_DIR || join(root, "target"));
const binary = process.env.METRON_SIM || join(target, "debug/metron-sim");
const shots = join(target, "screenshots");
const axeSource = readFileSync(join(here, "../../node_modules/axe-core/axe.min.js"), "utf8");
const work = mkdtempSync(join(tmpdir(), "metron-playground-"));
mkdirSync(shots, { recursive: true });

const server = spawn(binary, ["serve"], { stdio: ["ignore", "pipe", "inherit"] });
const address = await new Promise((done, failed) => {
	let said = "";
	server.stdout.on("data", (data) => {
		said += data;
		if (said.includes("\n")) done(said.trim());
	});
	server.on("exit", (code) => failed(new Error("the server ended with " + code)));
});
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
const sessions = `name: sessions
seed: 4
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.6, prefix_caching: true, kv_blocks: 9000}
schedulers: [vllm-v1, vllm-v1: {max_num_batched_tokens: 512}]
workload:
  sessions:
    preset: chat
    count: 40
    arrivals: {poisson: {rate: 1}}
    shared_prefix: {count: 2, tokens: 1000}
`;
const failures = [];
const only = process.argv[2];
const check = async (name, act) => {
	if (only && !name.includes(only)) return;
	const began = Date.now();
	try {
		await act();
		console.log(`ok ${name} (${Date.now() - began} ms)`);
	} catch (error) {
		failures.push(name);
		console.error(`FAILED ${name}: ${error.stack}`);
	}
};

/** @param {import("playwright-core").BrowserContextOptions & { url?: string }} options */
const open = async ({ url = address, ...options } = {}) => {
	const context = await browser.newContext({
		viewport: { width: 1400, height: 950 },
		acceptDownloads: true,
		...options,
	});
	const page = await context.newPage();
	const trouble = [];
	page.on("console", (message) => {
		if (["error", "warning"].includes(message.type())) trouble.push(message.text());
	});
	page.on("pageerror", (error) => trouble.push(String(error.stack)));
	page.on("request", (request) => {
		const asked = request.url(),
			own = url.startsWith("file:") ? url.split("#")[0] : new URL(url).origin;
		if (!asked.startsWith(own) && !asked.startsWith("data:") && !asked.startsWith("blob:"))
			trouble.push("asked for " + asked.slice(0, 200));
	});
	await page.goto(url);
	await page.waitForSelector("html[data-ready]", { timeout: 30000 });
	return { page, context, trouble };
};
const settled = async (page, act) => {
	const before = await page.evaluate(() => Number(document.documentElement.dataset.answers || 0));
	await act();
	await page.waitForFunction(
		(n) => Number(document.documentElement.dataset.answers || 0) > n && !Play.isBusy(),
		before,
		{ timeout: 20000 },
	);
};
const audit = async (page, name) => {
	await page.evaluate(axeSource);
	const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
	const bad = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
	assert.deepEqual(
		bad.map(
			(one) =>
				`${one.id}: ${one.nodes
					.slice(0, 3)
					.map((node) => node.html.slice(0, 160))
					.join(" | ")}`,
		),
		[],
		name,
	);
};
const narrow = async (page, width) => {
	const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
	assert(wide <= 0, `${wide} px wider than ${width}`);
};
// On a phone and on a tablet nothing stands out of the page.
const fits = async (page) => {
	for (const width of [360, 800]) {
		await page.setViewportSize({ width, height: 900 });
		await page.waitForTimeout(300);
		await narrow(page, width);
	}
};
const figure = (page, name) =>
	page.evaluate((name) => Play.answer.figures.find((one) => one.name === name).values, name);

await check("three widths, light and dark", async () => {
	for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
		const { page, context, trouble } = await open({ colorScheme });
		for (const width of [360, 800, 1400]) {
			await page.setViewportSize({ width, height: 950 });
			await page.waitForTimeout(250);
			await narrow(page, width);
			await page.screenshot({ path: join(shots, `playground-${colorScheme}-${width}.png`), fullPage: true });
		}
		await audit(page, colorScheme);
		assert.deepEqual(trouble, []);
		await context.close();
	}
});

await check("every part is drawn, and its words lie apart", async () => {
	for (const width of [360, 1400]) {
		const { page, context, trouble } = await open({ viewport: { width, height: 900 } });
		await page.waitForFunction(
			() => document.documentElement.dataset.drawn === document.documentElement.dataset.answers,
		);
		assert.equal(await page.locator("#curves .plot").count(), 6);
		assert.equal(await page.locator("#misses .plot").count(), 1);
		assert.equal(await page.locator("#lateness canvas.surface").count(), 2);
		assert((await page.locator("#words dt").count()) > 30, "words and causes are explained");
		assert.deepEqual(await page.evaluate(overlaps), []);
		await narrow(page, width);
		// What was drawn before is let go.
		await settled(page, () => page.getByRole("button", { name: "Share" }).evaluate(() => Play.change(["seed=9"])));
		await page.waitForFunction(
			() => document.documentElement.dataset.drawn === document.documentElement.dataset.answers,
		);
		assert.equal(await page.locator("#curves .plot").count(), 6);
		assert.deepEqual(trouble, []);
		await context.close();
	}
});

await check("the timeline tells single iterations wherever one looks", async () => {
	const { page, context, trouble } = await open();
	await settled(page, () => page.evaluate(() => Play.change(["workload.requests=1000"])));
	await page.locator("#timeline").scrollIntoViewIfNeeded();
	const where = () => page.locator("#timeline .readout").first().textContent();
	assert.match(await where(), /each column stands for up to/);
	// Half a second at a third of the run, far from any stall that is kept in detail.
	const quiet = await page.evaluate(() => {
		const { whole } = Play.timeline,
			kept = Play.answer.runs.flatMap((run) =>
				run.lanes.flatMap((lane) =>
					lane.details.map((part) => [part.start_us[0], part.start_us.reduce((a, b) => a + b, 0)]),
				),
			);
		for (let at = whole.from + 2e6; at < whole.to; at += 1e6)
			if (kept.every(([a, b]) => b < at - 1e6 || a > at + 2e6)) {
				Play.timeline.set(at, at + 5e5);
				return true;
			}
		return false;
	});
	assert(quiet, "somewhere there is no stall");
	await page.waitForFunction(
		() => /every iteration by itself/.test(document.querySelector("#timeline .readout").textContent),
		null,
		{ timeout: 10000 },
	);
	const canvas = page.locator("canvas.timeline").first(),
		box = await canvas.boundingBox();
	// What is under the pointer is told when it moves: once the iterations have come, that is one.
	const told = page.locator("#timeline .readout.tall").first();
	for (let tries = 0; tries < 20; tries++) {
		await page.mouse.move(box.x + box.width / 2 + (tries % 2), box.y + 60);
		if (/^(Iteration [\d,]+ at|Idle)/.test(await told.textContent())) break;
		await page.waitForTimeout(100);
	}
	assert.match(await told.textContent(), /^(Iteration [\d,]+ at|Idle)/);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("a slider re-simulates and redraws", async () => {
	const { page, context, trouble } = await open();
	const before = await figure(page, "Longest pause");
	const rate = page.getByLabel("Requests per second", { exact: true });
	await settled(page, () =>
		rate.evaluate((slider) => {
			slider.value = 760;
			slider.dispatchEvent(new Event("input", { bubbles: true }));
		}),
	);
	const after = await figure(page, "Longest pause");
	assert.notDeepEqual(after, before);
	assert.match(await page.inputValue("#editor textarea"), /rate: (?!3\b)/);
	// Keys move it too, and the newest of many changes wins.
	await rate.focus();
	await settled(page, async () => {
		for (let k = 0; k < 12; k++) await page.keyboard.press("ArrowLeft");
	});
	await page.waitForFunction(() => !Play.isBusy());
	const shown = await page.evaluate(() => Play.answer.dials.find((dial) => dial.id === "rate").value);
	assert.equal(Number(await page.getByLabel("Requests per second, exactly").inputValue()), shown);
	// A menu.
	await settled(page, () => page.getByLabel("Scheduler", { exact: true }).first().selectOption("orca"));
	assert.deepEqual(await page.evaluate(() => Play.answer.runs.map((run) => run.scheduler)), ["orca", "sarathi"]);
	await settled(page, () => page.getByRole("button", { name: "Play the first alone" }).click());
	assert.equal(await page.evaluate(() => Play.answer.runs.length), 1);
	await settled(page, () => page.getByRole("button", { name: "Compare with another" }).click());
	assert.equal(await page.evaluate(() => Play.answer.runs.length), 2);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("what is known within bounds is drawn as bounds", async () => {
	const { page, context, trouble } = await open();
	await settled(page, () => page.evaluate(() => Play.change(["workload.horizon=40s"])));
	const rows = await page.evaluate(() =>
		[...document.querySelectorAll("#figures-body tbody tr")].map((row) =>
			[...row.children].map((cell) => cell.textContent.replaceAll("\u00a0", " ")),
		),
	);
	const of = (name) => rows.find(([head]) => head.startsWith(name));
	assert.match(of("Fluid requests")[1], /^[\d.]+ to [\d.]+ %/);
	assert.match(of("Longest pause")[1], /^≥ /);
	assert.equal(of("Longest pause")[3], "not decided");
	assert.match(await page.textContent("#status"), /Longest pause: ≥/);
	await page.locator("#curves").scrollIntoViewIfNeeded();
	await page.waitForFunction(() => /Observation ended/.test(document.querySelector("#curves-body").textContent));
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("broken settings say what is wrong, where", async () => {
	const { page, context, trouble } = await open();
	const text = await page.inputValue("#editor textarea");
	await page.fill("#editor textarea", text.replace("gpu: h100-sxm", "gpu: h100-sxn"));
	await page.waitForSelector("#problems:not([hidden])");
	assert.match(await page.textContent("#problem-list"), /h100-sxm/);
	assert.match(await page.textContent(".gutter .wrong"), /4/);
	await page.screenshot({ path: join(shots, "playground-problem.png"), fullPage: true });
	await audit(page, "a problem");
	await page.getByRole("button", { name: "Line 4" }).click();
	assert.equal(await page.evaluate(() => document.activeElement.tagName), "TEXTAREA");
	await settled(page, () => page.fill("#editor textarea", text));
	assert(await page.isHidden("#problems"));
	// A dial can break it as well.
	const exact = page.getByLabel("Requests, exactly");
	await exact.fill("900000");
	await exact.press("Enter");
	await page.waitForSelector("#problems:not([hidden])");
	assert.match(await page.textContent("#problem-list"), /20000.*metron-sim run/s);
	await settled(page, async () => {
		await exact.fill("200");
		await exact.press("Enter");
	});
	assert(await page.isHidden("#problems"));
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("iterations are stepped and played", async () => {
	const { page, context, trouble } = await open();
	const clock = () => page.textContent("#batch output");
	const words = () => page.locator("#batch .readout.tall").allTextContents();
	// Out of sight it is drawn a second later.
	await page.waitForFunction(() => /Iteration/.test(document.querySelector("#batch .readout.tall")?.textContent));
	const [at, said] = [await clock(), await words()];
	for (let k = 0; k < 5; k++) await page.getByRole("button", { name: "Step on" }).click();
	await page.waitForTimeout(200);
	assert.notEqual(await clock(), at);
	assert.notDeepEqual(await words(), said);
	for (const text of await words()) assert.match(text, /Iteration [\d,]+, from .*decode.*KV blocks/);
	for (let k = 0; k < 5; k++) await page.getByRole("button", { name: "Step back" }).click();
	await page.waitForTimeout(200);
	assert.deepEqual(await words(), said, "back where it was");
	await page.getByRole("button", { name: "Play", exact: true }).click();
	await page.waitForTimeout(1200);
	await page.getByRole("button", { name: "Pause" }).click();
	assert.notEqual(await clock(), at);
	await page.locator("#batch").screenshot({ path: join(shots, "playground-batch.png") });
	await page.getByLabel("Simulated time").evaluate((slider) => {
		slider.value = 9990;
		slider.dispatchEvent(new Event("input", { bubbles: true }));
	});
	await page.waitForTimeout(400);
	assert.match((await words())[0], /Iteration/);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("the batch in view changes with the answer", async () => {
	const { page, context, trouble } = await open();
	await page.locator("#batch").scrollIntoViewIfNeeded();
	await page.waitForFunction(() => /Iteration/.test(document.querySelector("#batch .readout.tall")?.textContent));
	const asked = [];
	page.on("request", (request) => {
		if (request.method() === "POST") asked.push(JSON.parse(request.postData()).op);
	});
	const words = () => page.locator("#batch .readout.tall").allTextContents();
	const before = await words();
	const slider = page.getByLabel("Requests per second", { exact: true });
	await slider.evaluate((one) => {
		one.value = Number(one.value) + 60;
		one.dispatchEvent(new Event("input", { bubbles: true }));
	});
	await page.waitForFunction((text) => document.querySelector("#batch .readout.tall").textContent !== text, before[0]);
	for (const text of await words()) assert.match(text, /Iteration [\d,]+, from /);
	assert(asked.includes("simulate") && !asked.includes("steps"), `asked ${asked}: it came with the answer`);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("the batch shows who stands still and who waits at that moment", async () => {
	const { page, context, trouble } = await open();
	await page.getByRole("button", { name: "Guided tour" }).click();
	await page.waitForSelector("#tour form");
	await page.locator("#tour input[type=radio]").first().check();
	await settled(page, () => page.getByRole("button", { name: "Simulate" }).click());
	await readStep(page, 3);
	const first = page.locator("#batch .readout.tall").first();
	await page.waitForFunction(() => /stand/.test(document.querySelector("#batch .readout.tall")?.textContent), null, {
		timeout: 20000,
	});
	// The moment that it leads to may come after the one that was shown.
	await page.waitForTimeout(800);
	const said = await first.textContent();
	const frozen = Number(said.match(/(\d+) stands? still/)[1]);
	assert.match(said, /: 0 decodes, /, "a prompt is prefilled alone");
	assert(frozen >= 5, said);
	// As the run has it at that instant.
	const truth = await page.evaluate(async () => {
		const at_us = Math.round(
			Number(document.querySelector("#batch output").textContent.match(/At ([\d.]+) s/)[1]) * 1e6,
		);
		const number = document.querySelector("#batch .readout.tall").textContent.match(/Iteration ([\d,]+)/)[1];
		const from = Number(number.replaceAll(",", ""));
		const asked = { op: "steps", scenario: { text: Play.answer.text }, scheduler: 0, from, count: 1 };
		const [step] = (await Play.ask(asked)).steps;
		const changes = (step.queue || []).filter(([when]) => when <= at_us);
		return {
			frozen: step.frozen_count,
			waiting: step.waiting_count + changes.reduce((sum, one) => sum + (one[2] ? 1 : -1), 0),
		};
	});
	assert.equal(frozen, truth.frozen);
	assert.equal(Number(said.match(/(\d+) waiting/)[1]), truth.waiting);
	await page.locator("#batch").screenshot({ path: join(shots, "playground-batch-stalled.png") });
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("the KV blocks at the playhead add up", async () => {
	const { page, context, trouble } = await open();
	// Little memory, so that requests are preempted.
	await settled(page, () =>
		page.evaluate(() => Play.change(["engine.kv_blocks=1500", "workload.arrivals.poisson.rate=8"])),
	);
	await page.locator("#batch").scrollIntoViewIfNeeded();
	await page.waitForFunction(() => /KV blocks: /.test(document.querySelector("#batch").textContent));
	const said = () => page.locator("#batch p", { hasText: "KV blocks: " }).first().textContent();
	const batch = () => page.locator("#batch .readout.tall").first().textContent();
	for (let k = 0; k < 40; k++) {
		const [used, total] = (await said()).match(/KV blocks: ([\d,]+) of ([\d,]+) used/).slice(1);
		assert.match(await batch(), new RegExp(used + " of " + total + " KV blocks"));
		await page.getByRole("button", { name: "Step on" }).click();
		await page.waitForTimeout(30);
	}
	// Go to where somebody was preempted.
	const at = await page.evaluate(async () => {
		const asked = { op: "steps", scenario: { text: Play.answer.text }, scheduler: 0, from: 0, count: 400 };
		for (let from = 0; from < 20000; from += 400) {
			const { steps } = await Play.ask({ ...asked, from });
			const step = steps?.slice(1).find((one) => one.preempted);
			if (step) return step.start_us + 1;
			if (!steps?.length) return null;
		}
		return null;
	});
	assert(at, "somebody is preempted");
	await page.evaluate((at) => Play.batches.to(at), at);
	await page.waitForFunction(() => /lost just now: [\d,]+ of \d+/.test(document.querySelector("#batch").textContent));
	await page.locator("#batch").screenshot({ path: join(shots, "playground-blocks.png") });
	// A block under the pointer tells whose it is, and leads to its text.
	const canvas = page.getByRole("img", { name: /^KV blocks: / }).first(),
		box = await canvas.boundingBox();
	await page.mouse.move(box.x + 30, box.y + 5);
	await page.waitForFunction(() => /blocks?: request \d+/.test(document.querySelector("#batch").textContent));
	const request = Number((await page.textContent("#batch")).match(/blocks?: request (\d+)/)[1]);
	await page.mouse.click(box.x + 30, box.y + 5);
	await page.waitForFunction((n) => Play.readers.request() === n, request);
	await audit(page, "KV blocks");
	await fits(page);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("curves against the load are played beside all else", async () => {
	const { page, context, trouble } = await open();
	const swept = () =>
		page.waitForFunction(
			() => document.documentElement.dataset.swept === document.documentElement.dataset.answers,
			null,
			{
				timeout: 30000,
			},
		);
	assert.equal(
		await page.evaluate(() => document.documentElement.dataset.swept),
		undefined,
		"only where someone looks",
	);
	await page.locator("#load").scrollIntoViewIfNeeded();
	await swept();
	await page.locator("#load summary", { hasText: "as a table" }).click();
	const table = () =>
		page
			.locator("#load table tbody tr")
			.evaluateAll((rows) => rows.map((row) => [...row.children].map((one) => one.textContent)));
	await page.waitForSelector("#load table tbody tr");
	const rows = await table();
	assert.equal(rows.length, 16, "eight rates under two schedulers");
	const rates = rows.map((row) => Number(row[0]));
	assert(
		rates.every((rate, k) => !k || rate >= rates[k - 1]),
		rates.join(),
	);
	// What stands where the page is are the page's own figures.
	const share = await figure(page, "Fluid requests");
	const here = rows.filter((row) => Number(row[0]) === 3);
	assert.deepEqual(
		here.map((row) => Number.parseInt(row[2], 10)),
		share.map((one) => Math.round(one * 100)),
	);
	await page.locator("#load").screenshot({ path: join(shots, "playground-load.png") });
	await audit(page, "against the load");
	// A change ends it and is not held up.
	const took = await page.evaluate(async () => {
		const began = performance.now();
		Play.change(["seed=5"]);
		while (Play.answer.text.indexOf("seed: 5") < 0 && performance.now() - began < 5000)
			await new Promise((done) => setTimeout(done, 5));
		return performance.now() - began;
	});
	assert(took < 3000, `${took} ms`);
	await swept();
	// Where the load cannot be changed it says so.
	await settled(page, () => page.evaluate(() => Play.change(["workload.arrivals={all_at_once: {}}"])));
	await page.locator("#load").scrollIntoViewIfNeeded();
	await page.waitForFunction(() =>
		/No curves: the load cannot be changed here/.test(document.querySelector("#load").textContent),
	);
	await fits(page);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("each lane of a pipeline shows its own batch", async () => {
	const { page, context, trouble } = await open();
	await settled(page, () => page.evaluate(() => Play.change(["schedulers=[sarathi]", "parallelism={pipeline: 2}"])));
	await page.locator("#batch").scrollIntoViewIfNeeded();
	const lane = page.locator("#batch h3 select");
	await page.waitForFunction(() => /Iteration/.test(document.querySelector("#batch .readout.tall")?.textContent));
	assert.deepEqual(await lane.locator("option").allTextContents(), ["replica 0, lane 0", "replica 0, lane 1"]);
	const decodes = new Set();
	for (const value of ["0", "1"]) {
		await lane.selectOption(value);
		await page.getByLabel("Simulated time").evaluate((slider) => {
			slider.value = 5000;
			slider.dispatchEvent(new Event("input", { bubbles: true }));
		});
		await page.waitForTimeout(700);
		decodes.add(await page.locator("#batch .readout.tall").textContent());
	}
	assert.equal(decodes.size, 2, "two lanes, two batches");
	assert(
		[...decodes].some((text) => /: [1-9]\d* decode/.test(text)),
		[...decodes].join("\n"),
	);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("a damaged link says so", async () => {
	for (const fragment of ["#z=AAAA", "#z=", "#t=%%%", "#z=7ZZZ"]) {
		const { page, context, trouble } = await open({ url: address + fragment });
		await page.waitForSelector("#notice:not([hidden])");
		assert.match(await page.textContent("#notice"), /damaged.*playground's own scenario/s, fragment);
		await page.waitForFunction(() => document.documentElement.dataset.ready === "yes");
		assert(await page.isVisible("#notice"), "it stays when the other scenario is drawn");
		if (fragment === "#z=AAAA") await audit(page, "a damaged link");
		// A sound one takes it away.
		const sound = await page.evaluate(() => Play.encode({ text: Play.text().replace("seed: 1", "seed: 5") }));
		await settled(page, () =>
			page.evaluate((hash) => {
				location.hash = hash;
			}, sound),
		);
		assert(await page.isHidden("#notice"));
		assert.deepEqual(trouble, []);
		await context.close();
	}
});

await check("changes are undone and done again", async () => {
	const { page, context, trouble } = await open();
	const text = () => page.evaluate(() => Play.text());
	const undo = page.getByRole("button", { name: "Undo" }),
		redo = page.getByRole("button", { name: "Redo" });
	const first = await text();
	assert(await undo.isDisabled());
	await settled(page, () => page.evaluate(() => Play.change(["seed=2"])));
	const second = await text();
	await settled(page, () => page.evaluate(() => Play.change(["workload.requests=200"])));
	const third = await text();
	await settled(page, () => undo.click());
	assert.equal(await text(), second);
	await settled(page, () => undo.click());
	assert.equal(await text(), first);
	assert(await undo.isDisabled());
	await settled(page, () => redo.click());
	await settled(page, () => redo.click());
	assert.equal(await text(), third);
	// From what cannot be played, back to what could.
	await page.evaluate(() => Play.change(["gpu=nothing"]));
	await page.waitForSelector("#problems:not([hidden])");
	await settled(page, () => page.getByRole("button", { name: "Go back to it" }).click());
	assert.equal(await text(), third);
	assert(await page.isHidden("#problems"));
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("dials of a stand-in set the stand-in", async () => {
	const { page, context, trouble } = await open();
	const stand_in = (await page.evaluate(() => Play.text())).replace(
		/ {2}requests: 300\n[\s\S]*?(?=slo:)/,
		"  trace:\n    file: nowhere.csv\n    stand_in:\n      requests: 60\n      arrivals: {gamma: {rate: 3, cv: 1.1}}\n      lengths: {prompt: {lognormal: {mean: 900, sigma: 0.5}}, output: {fixed: 50}}\n",
	);
	await settled(page, () => page.fill("#editor textarea", stand_in));
	for (const [label, value, written] of /** @type {[string, string, RegExp][]} */ ([
		["Requests per second, exactly", "5", /gamma: \{rate: 5/],
		["Requests, exactly", "90", /stand_in:\n\s+requests: 90/],
		["Output tokens, mean, exactly", "40", /output: \{fixed: 40\}/],
	])) {
		await settled(page, async () => {
			await page.getByLabel(label).fill(value);
			await page.getByLabel(label).press("Enter");
		});
		assert(await page.isHidden("#problems"), label);
		assert.match(await page.evaluate(() => Play.text()), written);
	}
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("the timeline's readout follows the wheel, and its window has two ends", async () => {
	const { page, context, trouble } = await open();
	await page.locator("#timeline").scrollIntoViewIfNeeded();
	await page.waitForTimeout(600);
	const canvas = page.locator("canvas.timeline").first();
	await canvas.scrollIntoViewIfNeeded();
	const box = await canvas.boundingBox();
	await page.mouse.move(box.x + box.width * 0.7, box.y + 60);
	const told = () => page.locator("#timeline .readout.tall").first().textContent();
	const before = await told();
	for (let k = 0; k < 12; k++) {
		await page.mouse.wheel(0, -400);
		await page.waitForTimeout(40);
	}
	await page.waitForTimeout(600);
	const after = await told();
	assert.notEqual(after, before, "another column is under the pointer");
	const now = await page.evaluate(() => Play.timeline.view);
	const start = after.match(/(?:at|from) ([\d.]+) (ms|s)/);
	if (start) {
		const at = Number(start[1]) * (start[2] === "s" ? 1e6 : 1e3);
		assert(at > now.from - 1e6 && at < now.to + 1e6, `${after} in ${now.from} to ${now.to}`);
	}
	// However far one zooms in.
	await page.evaluate(() => {
		const { whole } = Play.timeline;
		Play.timeline.set(whole.to * 0.9, whole.to * 0.9 + 300);
	});
	const [, from, to] = (await page.locator("#timeline .readout").first().textContent()).match(/^(.*?) to (.*?) \(/);
	assert.notEqual(from, to);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("a stall tells its story and its cures", async () => {
	const { page, context, trouble } = await open();
	await page.locator("#timeline").scrollIntoViewIfNeeded();
	await page.waitForTimeout(300);
	// In the upper lane, where the first stall of the first run is drawn.
	const place = await page.evaluate(() => {
		const canvas = document.querySelector("canvas.timeline"),
			view = Play.timeline.view,
			stall = Play.answer.runs[0].stalls[0];
		return {
			x: 72 + (((stall.from_us + stall.to_us) / 2 - view.from) / (view.to - view.from)) * (canvas.clientWidth - 76),
		};
	});
	await page
		.locator("canvas.timeline")
		.first()
		.click({ position: { x: place.x, y: 8 } });
	await page.waitForSelector(".stall.chosen .cures table");
	assert.match(await page.textContent(".stall.chosen .story"), /^Request \d+ (stood still|waited)/);
	await page.locator(".stall.chosen").screenshot({ path: join(shots, "playground-stall.png") });
	await audit(page, "cures");
	await settled(page, () => page.locator(".stall.chosen .cures button").first().click());
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("links and files hold the whole scenario", async () => {
	const { page, context, trouble } = await open();
	const text = (await page.inputValue("#editor textarea"))
		.replace("name: playground", 'name: "<img src=x onerror=document.title=1>"')
		.replace("requests: 300", "requests: 77");
	await settled(page, () => page.fill("#editor textarea", text));
	await page.getByRole("button", { name: "Copy a link to this" }).click();
	await page.waitForFunction(() => document.querySelector(".link").value.includes("#d="));
	const link = await page.inputValue(".link");
	const [download] = await Promise.all([
		page.waitForEvent("download"),
		page.getByRole("button", { name: "Download" }).click(),
	]);
	assert.equal(readFileSync(await download.path(), "utf8"), text);
	const linked = await open({ url: link });
	assert.equal(await linked.page.inputValue("#editor textarea"), text);
	assert.equal(await linked.page.locator("img").count(), 0);
	assert.deepEqual(linked.trouble, []);
	await linked.context.close();
	// One letter changed anywhere, or the end cut off, is noticed: the text has a checksum.
	const unnoticed = await page.evaluate(async (whole) => {
		let missed = 0;
		const fragment = whole.split("&")[0];
		for (let place = 3; place < fragment.length; place++) {
			const other = fragment[place] === "A" ? "B" : "A";
			for (const damaged of [fragment.slice(0, place) + other + fragment.slice(place + 1), fragment.slice(0, place)]) {
				const state = await Play.decode(damaged).catch(() => null);
				// The last letter may have bits that say nothing.
				if (state !== null && state.text !== Play.text()) missed++;
			}
		}
		return missed;
	}, new URL(link).hash);
	assert.equal(unnoticed, 0, "damaged links that play another scenario");
	assert.deepEqual(trouble, []);
	await context.close();
	// Whatever a link holds, the page lives.
	const bomb = execFileSync("node", [
		"-e",
		'process.stdout.write(require("zlib").deflateRawSync(Buffer.alloc(50_000_000, 97)).toString("base64url"))',
	]).toString();
	for (const hash of [
		"#z=",
		"#z=AAAA",
		"#t=%00%ff",
		"#z=" + bomb,
		"#t=" + Buffer.from("<script>document.title='owned'</script>").toString("base64url"),
		"#t=_____w",
		"#x=1",
		"#" + "z".repeat(100_000),
	]) {
		const { page, context, trouble } = await open({ url: address + hash });
		assert.notEqual(await page.title(), "owned", hash.slice(0, 50));
		assert.deepEqual(trouble, [], hash.slice(0, 50));
		await context.close();
	}
});

await check("the tour asks, then shows", async () => {
	const { page, context, trouble } = await open();
	const taught = [];
	page.on("response", (response) => {
		const { op } = JSON.parse(response.request().postData() || "{}");
		if (op === "lesson") taught.push(response.json());
	});
	await page.getByRole("button", { name: "Guided tour" }).click();
	for (let lesson = 0; lesson < 14; lesson++) {
		await page.waitForSelector("#tour form");
		assert(await page.isHidden("#drawn"), "nothing is given away");
		assert(await page.getByRole("button", { name: "Simulate" }).isDisabled());
		await audit(page, `lesson ${lesson}, asked`);
		if (lesson === 0) await page.screenshot({ path: join(shots, "playground-lesson-asked.png"), fullPage: true });
		await page.locator("#tour input[type=radio][value='" + (lesson % 3) + "']").check();
		await settled(page, () => page.getByRole("button", { name: "Simulate" }).click());
		await page.waitForFunction(() => document.activeElement.tagName === "H3");
		const said = await page.locator(".course-step").allTextContents();
		assert(said.length >= 3 && said.every((text) => !/[{}]/.test(text)), said.join("\n"));
		// The picture shows what the words tell of.
		await readThrough(page, await taught.shift());
		await page.screenshot({ path: join(shots, `playground-lesson-${lesson + 1}.png`) });
		await audit(page, `lesson ${lesson}, shown`);
		if (lesson < 13) {
			await readStep(page, said.length - 1);
			await page.getByRole("button", { name: /^Next: / }).click();
		}
	}
	await page.getByRole("button", { name: "Leave the tour" }).first().click();
	assert(await page.isVisible("#drawn"));
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("a link leads back to where the page stood", async () => {
	const { page, context, trouble } = await open();
	// Nothing is written until someone does something.
	assert.equal(await page.evaluate(() => location.hash), "");
	await page.waitForFunction(() => Play.timeline && document.querySelector("#readers .pane"));
	await page.locator("#verdict-h").click();
	await page.evaluate(() => Play.readers.pick(7));
	await page.waitForFunction(() =>
		/of request|since request 7 /.test(document.querySelector("#readers .readout").textContent),
	);
	await page.evaluate(() => {
		Play.timeline.set(20e6, 30e6);
		Metron.cursor.set(25e6, "test");
		Metron.theme("dark");
	});
	await settled(page, () =>
		page
			.getByRole("button", { name: /^Keep these/ })
			.click()
			.then(() => page.evaluate(() => Play.change(["seed=4"]))),
	);
	assert.match(await page.textContent("#figures-body"), /before: /);
	const link = await page.evaluate(() => Play.address(null));
	for (const name of ["d", "before", "at", "zoom", "request", "theme"])
		assert.match(link, new RegExp("[#&]" + name + "="));
	const there = await open({ url: link });
	await there.page.waitForFunction(() => Play.timeline && document.querySelector("#readers .pane"));
	await there.page.waitForFunction(() =>
		/since request 7 /.test(document.querySelector("#readers .readout").textContent),
	);
	const state = await there.page.evaluate(() => ({
		...Play.state(),
		dark: document.documentElement.dataset.theme,
		figures: document.querySelector("#figures-body").textContent,
	}));
	assert.match(state.text, /seed: 4/);
	assert.match(state.before, /seed: 1/);
	assert.deepEqual([state.zoom, state.at, state.request, state.dark], [[20e6, 30e6], 25e6, 7, "dark"]);
	assert.match(state.figures, /before: /);
	assert.equal(await there.page.evaluate(() => Play.address(null)), link, "the same link again");
	assert.deepEqual(there.trouble, []);
	await there.context.close();
	// "Back" leads to the step before.
	await page.waitForFunction(() => location.hash.includes("before="));
	await settled(page, () => page.evaluate(() => Play.change(["seed=6"])));
	await page.waitForTimeout(600);
	await settled(page, () => page.goBack());
	assert.match(await page.evaluate(() => Play.text()), /seed: 4/);
	await settled(page, () => page.goForward());
	assert.match(await page.evaluate(() => Play.text()), /seed: 6/);
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("a frame shows parts of the page alone", async () => {
	const { page, context, trouble } = await open({
		url: address + "#embed=readers,timeline",
		viewport: { width: 700, height: 700 },
	});
	await page.waitForSelector("#readers .pane");
	for (const id of ["readers", "timeline"]) assert(await page.isVisible("#" + id), id);
	for (const id of ["settings", "yaml", "figures", "lives", "stalls", "tools"])
		assert(await page.isHidden("#" + id), id);
	assert(await page.isVisible("#whole-link"));
	await narrow(page, 700);
	await audit(page, "in a frame");
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("lessons are linked, and done ones are remembered", async () => {
	const { page, context, trouble } = await open({ url: address + "#lesson=2" });
	await page.waitForSelector("#tour form");
	assert.match(await page.textContent("#tour h3"), /^2\. /);
	const orders = new Set();
	for (let k = 0; k < 12 && orders.size < 2; k++) {
		await page.locator("#tour .lessons button").nth(1).click();
		await page.waitForSelector("#tour form");
		await page.waitForTimeout(60);
		orders.add((await page.locator("#tour .choices label").allTextContents()).join("|"));
	}
	assert.equal(orders.size, 2, "answers stand in no fixed order");
	// Whichever was chosen, what it says is about that one.
	const right = page.locator("#tour .choices label").filter({ has: page.locator("input[value='1']") });
	await right.locator("input").check();
	await settled(page, () => page.getByRole("button", { name: "Simulate" }).click());
	const link = await page.evaluate(() => Play.address(null));
	assert.match(link, /&lesson=2&step=1$/);
	await page.goto("about:blank");
	await page.goto(address);
	await page.waitForSelector("html[data-ready]");
	await page.getByRole("button", { name: "Guided tour" }).click();
	assert.match(await page.textContent("#tour h3"), /^1\. /);
	assert(
		await page
			.locator("#tour .lessons button")
			.nth(1)
			.evaluate((one) => one.classList.contains("done")),
	);
	// A link to what a lesson showed shows it.
	const shown = await open({ url: link });
	await shown.page.waitForSelector(".course-step[aria-current]");
	assert(await shown.page.isVisible("#drawn"));
	assert.deepEqual([...shown.trouble, ...trouble], []);
	await shown.context.close();
	await context.close();
});

await check("two readers: words come at their tokens' times, and a freeze says who", async () => {
	const { page, context, trouble } = await open();
	await page.waitForSelector("#readers .pane");
	const read = () =>
		page.evaluate(() =>
			[...document.querySelectorAll("#readers .pane")].map((pane) => ({
				state: /** @type {HTMLElement} */ (pane).dataset.state,
				said: pane.querySelector(".reader-state").textContent,
				words: pane.querySelector(".reader-text").textContent.length,
				count: pane.querySelector(".hint").textContent,
			})),
		);
	// It opens in a freeze of the unluckiest request.
	const [frozen] = (await read()).filter((pane) => pane.state === "frozen");
	assert.match(frozen.said, /^Frozen, for .*: request \d+ \(/);
	// Every token at its time, against the answer itself.
	const told = await page.evaluate(() =>
		Play.ask({ op: "readers", scenario: { text: Play.text(), show: [0, 1] }, request: null }),
	);
	const [first] = told.readers,
		times = await page.evaluate((gaps) => Metron.running(gaps), first.at_us);
	for (const share of [0, 0.3, 0.77, 1]) {
		const at = first.arrival_us + times[times.length - 1] * share;
		await page.evaluate((at) => Metron.cursor.set(at, "test"), at);
		const shown = times.filter((time) => time <= at - first.arrival_us).length;
		assert.equal(
			(await read())[0].count,
			shown.toLocaleString("en-US") + " of " + first.tokens.toLocaleString("en-US") + " tokens",
		);
	}
	const before = await read();
	await page.getByRole("button", { name: "From the beginning" }).click();
	await page.waitForTimeout(700);
	const early = await read();
	await page.waitForTimeout(1500);
	const later = await read();
	assert(early[0].words < before[0].words && early[1].words <= later[1].words);
	await page.locator("#readers").getByRole("button", { name: "Pause" }).click();
	// Another request.
	await page.getByLabel("Request, by number").fill("11");
	await page.getByLabel("Request, by number").press("Enter");
	await page.waitForFunction(() => /since request 11 /.test(document.querySelector("#readers .readout").textContent));
	// The batch and the timeline stand at the same moment.
	assert.equal(await page.evaluate(() => Metron.cursor.at), await page.evaluate(() => Play.state().at));
	await page.locator("#readers").screenshot({ path: join(shots, "playground-readers.png") });
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("rows of requests follow the timeline and lead to texts and stories", async () => {
	const { page, context, trouble } = await open();
	await page.locator("#lives").scrollIntoViewIfNeeded();
	await page.waitForFunction(() => /requests that fared/.test(document.querySelector("#lives-body").textContent));
	await page.evaluate(() => Play.timeline.set(30e6, 33e6));
	await page.waitForFunction(() =>
		/(All|The) \d+ requests that/.test(document.querySelector("#lives-body").textContent),
	);
	await page.waitForTimeout(800);
	const canvas = page.locator("#lives canvas").first(),
		box = await canvas.boundingBox();
	await canvas.click({ position: { x: box.width * 0.6, y: 20 } });
	const line = await page.textContent("#lives .readout");
	const request = Number(line.match(/^Request (\d+) under/)[1]);
	await page.waitForFunction(
		(n) => document.querySelector("#readers .readout").textContent.includes("request " + n + " "),
		request,
	);
	assert.equal(await page.evaluate(() => Play.state().request), request);
	await canvas.focus();
	await page.keyboard.press("ArrowDown");
	assert.match(await page.textContent("#lives .readout"), /^Request \d+ under/);
	await page.locator("#lives").screenshot({ path: join(shots, "playground-lives.png") });
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("rows of sessions show turns, gaps and where prompts came from", async () => {
	const { page, context, trouble } = await open();
	assert(await page.getByLabel("What a row is").isHidden(), "this scenario has no sessions");
	await settled(page, () => page.evaluate((text) => Play.load(text), sessions));
	await page.locator("#lives").scrollIntoViewIfNeeded();
	await page.getByLabel("What a row is").selectOption("sessions");
	const told = () => page.locator("#lives-body > div:last-child p.hint").last().textContent();
	await page.waitForFunction(() =>
		/sessions that were under way|sessions whose/.test(document.querySelector("#lives").textContent),
	);
	assert.match(await told(), /^(All|The) \d+ sessions/);
	const canvas = page.locator("#lives canvas:visible").first();
	// The second turn of some row, where the bar is wide enough to be hit.
	await canvas.focus();
	const line = () => page.locator("#lives .readout:visible").textContent();
	await page.keyboard.press("ArrowDown");
	await page.keyboard.press("ArrowRight");
	assert.match(
		await line(),
		/^Session \d+, turn [2-9]\d* under .* is request \d+, sent at .* after the answer before it/,
	);
	assert.match(await line(), /Of [\d,]+ prompt tokens .*found, said in this session/);
	const request = Number((await line()).match(/is request (\d+)/)[1]);
	await page.keyboard.press("Enter");
	await page.waitForFunction(
		(n) => document.querySelector("#readers .readout").textContent.includes("request " + n + " "),
		request,
	);
	// The clock is the timeline's, and one moment is marked in all.
	await page.evaluate(() => Metron.cursor.set(40e6, "test"));
	await page.evaluate(() => Play.timeline.set(30e6, 60e6));
	await page.waitForTimeout(800);
	await page.locator("#lives").screenshot({ path: join(shots, "playground-sessions.png") });
	const box = await canvas.boundingBox();
	// Somewhere in the rows there is a turn under the pointer.
	let hit = "";
	for (let y = 8; y < box.height - 30 && !hit; y += 18)
		for (let x = 90; x < box.width - 10 && !hit; x += 25) {
			await page.mouse.move(box.x + x, box.y + y);
			const said = await line();
			if (/turn \d+ under/.test(said)) {
				await page.mouse.click(box.x + x, box.y + y);
				hit = said;
			}
		}
	assert.match(hit, /^Session \d+, turn/);
	await page.waitForTimeout(600);
	assert.match(await page.evaluate(() => location.hash), /rows=sessions/);
	await audit(page, "rows of sessions");
	await fits(page);
	assert.deepEqual(trouble, []);
	// The link shows sessions again.
	const again = await open({ url: await page.evaluate(() => location.href) });
	await again.page.locator("#lives").scrollIntoViewIfNeeded();
	await again.page.waitForFunction(() => /sessions (that|whose)/.test(document.querySelector("#lives").textContent));
	assert.deepEqual(again.trouble, []);
	await again.context.close();
	await context.close();
});

await check("plots are saved as pictures with captions, and as data", async () => {
	const { page, context, trouble } = await open();
	await page.waitForFunction(() => document.documentElement.dataset.drawn === document.documentElement.dataset.answers);
	await page.waitForSelector("#readers .pane");
	await page.waitForFunction(() => document.querySelectorAll("#lives canvas").length === 2);
	const save = async (section, kind) => {
		const details = page.locator("#" + section + " details.save").first();
		if (!(await details.evaluate((/** @type {any} */ one) => one.open))) await details.locator("summary").click();
		const button = details.getByRole("button", { name: kind === "CSV" ? /CSV/ : "Save as " + kind });
		// Of many downloads in a row headless Chromium loses one now and then.
		for (let tries = 3; ; tries--) {
			const arrives = page.waitForEvent("download", { timeout: 12000 }).catch((error) => {
				if (tries === 1) throw error;
			});
			await button.click();
			const download = await arrives;
			if (download) return readFileSync(await download.path());
		}
	};
	for (const section of ["readers", "timeline", "lives", "tokens", "curves", "misses", "lateness"]) {
		const png = await save(section, "PNG");
		assert.deepEqual([...png.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47], section);
		assert(png.length > 3000, section + " " + png.length);
		const svg = (await save(section, "SVG")).toString();
		assert.match(svg, /^<svg [\s\S]*<\/svg>\n$/, section);
		assert.match(svg, /playground\. .*llama-3\.1-8b on h100-sxm.*Made by metron-sim/s, section);
		const drawn = await page.evaluate((text) => {
			const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
			const paths = [...parsed.querySelectorAll("path")];
			// What begins with no place is drawn nowhere.
			if (paths.some((path) => !/^M/.test(path.getAttribute("d")))) return -2;
			return parsed.querySelector("parsererror") ? -1 : parsed.querySelectorAll("path, text, rect").length;
		}, svg);
		assert(drawn > 10, section + ": " + drawn);
		writeFileSync(join(shots, "saved-" + section + ".svg"), svg);
		writeFileSync(join(shots, "saved-" + section + ".png"), png);
		const lines = (await save(section, "CSV")).toString().trim().split("\n");
		assert(lines.length > 5 && lines.every((line) => line.split(",").length >= 3), section);
	}
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("a measured result is judged in the page, beside what is simulated", async () => {
	const { page, context, trouble } = await open();
	await page.waitForFunction(() => document.documentElement.dataset.drawn === document.documentElement.dataset.answers);
	await page.setInputFiles("#measured input[type=file]", join(root, "tests/data/formats/vllm/detailed.json"));
	await page.waitForFunction(() => /read as vllm/.test(document.querySelector("#measured").textContent));
	assert((await page.locator("#measured .plot").count()) >= 3);
	assert.match(await page.textContent("#measured table"), /simulated: vllm-v0/);
	const [measured] = JSON.parse(
		execFileSync(binary, [
			"evaluate",
			join(root, "tests/data/formats/vllm/detailed.json"),
			"--format",
			"json",
		]).toString(),
	).runs;
	const cell = await page.locator("#measured tr").filter({ hasText: "TTFT, P99" }).locator("td").first().textContent();
	assert.equal(cell, await page.evaluate((s) => Metron.seconds(s), measured.ttft_s.p99));
	await page.setInputFiles("#measured input[type=file]", {
		name: "other.json",
		mimeType: "application/json",
		buffer: Buffer.from("{}"),
	});
	await page.waitForFunction(
		() => !/^Reading|read as/.test(document.querySelector("#measured [role=status]").textContent),
	);
	assert.equal(await page.locator("#measured .plot").count(), 0, "what was read before is gone");
	assert.deepEqual(trouble, []);
	await context.close();
});

await check("keys alone are enough", async () => {
	const { page, context } = await open();
	// What is out of sight is drawn last, and cannot be reached before.
	await page.waitForFunction(
		() => document.documentElement.dataset.drawn === document.documentElement.dataset.answers,
		null,
		{ timeout: 20000 },
	);
	await page.keyboard.press("Tab");
	assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
	const reached = new Set();
	for (let k = 0; k < 190; k++) {
		await page.keyboard.press("Tab");
		reached.add(
			await page.evaluate(
				() =>
					document.activeElement.getAttribute("aria-label") ||
					document.activeElement.textContent.slice(0, 30) ||
					document.activeElement.id,
			),
		);
	}
	for (const name of [
		"Guided tour",
		"Scenario to begin with",
		"Step on",
		"The scenario, YAML",
		"What would have helped?",
	])
		assert(reached.has(name), `${name} not among ${[...reached].join("; ")}`);
	await context.close();
});

await check("a stopped server is said", async () => {
	const { page, context } = await open();
	await page.route("**/answer", (route) => route.abort());
	await page.getByLabel("Replicas, exactly").fill("2");
	await page.getByLabel("Replicas, exactly").press("Enter");
	await page.waitForSelector("#problems:not([hidden])");
	assert.match(await page.textContent("#problem-list"), /still running/);
	await context.close();
});

await check("a page saved from the server says that it has no engine", async () => {
	const saved = join(work, "saved.html");
	writeFileSync(saved, await (await fetch(address)).text());
	const context = await browser.newContext();
	const page = await context.newPage();
	await page.goto(pathToFileURL(saved).href);
	await page.waitForSelector("#problems:not([hidden])");
	assert.match(await page.textContent("#problem-list"), /holds no engine.*--export/s);
	await context.close();
});

await courseChecks({ check, open, settled, audit, narrow, address, shots });
await moveChecks({ check, open, settled, audit, address });
await planChecks({ check, open, settled, audit, narrow, address, binary, shots });

if (process.env.METRON_WASM) {
	await check("the page from any web server", async () => {
		const folder = join(work, "site");
		execFileSync(binary, ["serve", "--export", folder, "--wasm", process.env.METRON_WASM]);
		const asked = [];
		const files = createServer((request, response) => {
			asked.push(request.url);
			if (request.url !== "/") {
				response.writeHead(404).end();
				return;
			}
			response.writeHead(200, { "Content-Type": "text/html" }).end(readFileSync(join(folder, "index.html")));
		});
		await new Promise((done) => files.listen(0, "127.0.0.1", () => done(null)));
		const { port } = /** @type {import("node:net").AddressInfo} */ (files.address());
		const { page, context, trouble } = await open({ url: `http://127.0.0.1:${port}/` });
		await settled(page, async () => {
			await page.getByLabel("Requests per second, exactly").fill("5");
			await page.keyboard.press("Enter");
		});
		assert.equal(await page.evaluate(() => Play.answer.runs.length), 2);
		assert.deepEqual(asked, ["/"]);
		assert.deepEqual(trouble, []);
		await context.close();
		files.close();
	});
	await check("the page without a server", async () => {
		execFileSync(binary, ["serve", "--export", work, "--wasm", process.env.METRON_WASM]);
		const { page, context, trouble } = await open({ url: pathToFileURL(join(work, "index.html")).href });
		const before = await figure(page, "Longest pause");
		const own = await page.evaluate(() => Play.answer.text);
		const answered = await (
			await fetch(address + "answer", {
				method: "POST",
				headers: { "Content-Type": "application/json" },
				body: JSON.stringify({ op: "simulate", scenario: { text: own } }),
			})
		).json();
		assert.deepEqual(answered.figures.find((one) => one.name === "Longest pause").values, before, "as the server says");
		await settled(page, async () => {
			await page.getByLabel("Requests per second, exactly").fill("5");
			await page.keyboard.press("Enter");
		});
		assert.notDeepEqual(await figure(page, "Longest pause"), before);
		await page.getByRole("button", { name: "Guided tour" }).click();
		await page.waitForSelector("#tour form");
		await audit(page, "without a server");
		await planInside(page, binary);
		assert.deepEqual(trouble, []);
		await context.close();
	});
} else console.error("SKIPPED: the page without a server: METRON_WASM names no module");

await browser.close();
server.kill();
rmSync(work, { recursive: true });
if (failures.length) {
	console.error(failures.length + " failed: " + failures.join(", "));
	process.exit(1);
}
