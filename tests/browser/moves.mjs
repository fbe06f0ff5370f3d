// In Chromium: ways between states of the playground (a dial and back, links, "back" to the first state), and what
// it says where nothing came, where a request does not exist, where a link is of no use to others.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const moveChecks = async ({ check, open, settled, audit, address }) => {
	const text = (page) => page.evaluate(() => Play.text());

	await check("a large model gets the GPUs it needs, and a dial leads back", async () => {
		const { page, context, trouble } = await open();
		const menu = (name) => page.locator("#settings").getByLabel(name, { exact: true });
		const gpus = menu("GPUs per replica");
		assert.equal(await gpus.inputValue(), "1");
		await settled(page, () => menu("Model").selectOption("llama-3.1-70b"));
		assert(await page.isHidden("#problems"));
		assert.equal(await gpus.inputValue(), "2");
		assert.match(await page.textContent("#status"), /^GPUs per replica: now 2/);
		assert.match(await page.textContent("#settings"), /GPUs per replica: now 2/);
		assert.match(await text(page), /tensor: 2/);
		await audit(page, "GPUs per replica");
		await settled(page, () => menu("Model").selectOption("llama-3.1-8b"));
		await settled(page, () => gpus.selectOption("1"));
		assert.match(await text(page), /tensor: 1/);
		assert.doesNotMatch(await page.textContent("#status"), /GPUs per replica/);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("back leads to the very first state", async () => {
		const { page, context, trouble } = await open();
		const first = await text(page);
		await page.locator("#verdict-h").click();
		await settled(page, () => page.evaluate(() => Play.change(["workload.arrivals.poisson.rate=5"])));
		await page.waitForFunction(() => location.hash.length > 1);
		await settled(page, () => page.goBack());
		assert.equal(await page.evaluate(() => location.hash), "");
		assert.equal(await text(page), first);
		// And out of the tour.
		await page.getByRole("button", { name: "Guided tour" }).click();
		await page.waitForFunction(() => location.hash.includes("lesson="));
		await page.goBack();
		await page.waitForSelector("#tour", { state: "hidden" });
		assert(await page.isVisible("#drawn"));
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("a link's zoom holds, whatever run was shown before", async () => {
		const { page, context, trouble } = await open();
		await page.waitForFunction(() => Play.timeline);
		await page.locator("#verdict-h").click();
		const long = await page.evaluate(() => Play.encode({ text: Play.text(), zoom: [60e6, 70e6] }));
		await settled(page, () => page.evaluate(() => Play.change(["workload.requests=30"])));
		await page.waitForFunction(() => Play.timeline.whole.to < 60e6);
		await page.evaluate(() => Play.timeline.set(1e6, 2e6));
		await settled(page, () =>
			page.evaluate((hash) => {
				location.hash = hash;
			}, long),
		);
		await page.waitForFunction(() => Play.timeline.whole.to > 70e6);
		await page.waitForTimeout(700);
		assert.deepEqual(await page.evaluate(() => [Play.timeline.view.from, Play.timeline.view.to]), [60e6, 70e6]);
		assert.match(await page.evaluate(() => location.hash), /zoom=60000000-70000000/);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("what a link asks for and is not there is said", async () => {
		for (const [fragment, where, words] of /** @type {const} */ ([
			["#request=99999", "#readers", "no request 99999 here"],
			["#lesson=99", "#notice", "no lesson 99"],
			["#embed=nothing", "#notice", "No part .* \u201cnothing\u201d"],
			["#theme=blue", "#notice", "`theme` is light or dark"],
		])) {
			const { page, context, trouble } = await open({ url: address + fragment });
			await page.waitForFunction(
				([where, words]) => new RegExp(words).test(document.querySelector(where).textContent),
				[where, words],
			);
			assert.doesNotMatch(await page.textContent("#notice"), /holds no scenario/);
			assert.deepEqual(trouble, [], fragment);
			await context.close();
		}
	});

	await check("a link that others cannot open says so", async () => {
		const { page, context, trouble } = await open();
		await page.getByRole("button", { name: "Copy a link to this" }).click();
		await page.waitForFunction(() => /Nobody else can open it/.test(document.querySelector("#yaml-note").textContent));
		const own = await page.evaluate(() =>
			["http://localhost:8/", "http://127.0.0.1/#d", "file:///a/b.html", "https://example.org/x"].map(Play.isOwn),
		);
		assert.deepEqual(own, [true, true, true, false]);
		assert.match(await page.textContent("footer"), /goes to the program that serves this page/);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("a request that is not there is refused by its number", async () => {
		const { page, context, trouble } = await open();
		await page.waitForSelector("#readers .pane");
		const number = page.getByLabel("Request, by number");
		const stood = await number.inputValue();
		for (const wrong of ["300", "-1", "1.5"]) {
			await number.fill(wrong);
			await number.press("Enter");
			assert.equal(await number.inputValue(), stood, wrong);
			assert.match(await page.textContent("#readers"), /numbered from 0 to 299/);
		}
		await number.fill("299");
		await number.press("Enter");
		await page.waitForFunction(() =>
			/since request 299 /.test(document.querySelector("#readers .readout").textContent),
		);
		assert.doesNotMatch(await page.textContent("#readers"), /numbered from/);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("a run that turned everybody away is not praised", async () => {
		const { page, context, trouble } = await open();
		await settled(page, () => page.evaluate(() => Play.change(["schedulers.0.vllm-v0.max_num_batched_tokens=16"])));
		const drawn = () =>
			page.waitForFunction(() => document.documentElement.dataset.drawn === document.documentElement.dataset.answers);
		await drawn();
		for (const id of ["stalls", "lateness"]) {
			assert.match(await page.textContent("#" + id), /All 300 requests were turned away/);
			assert.doesNotMatch(await page.textContent("#" + id), /No token came late/);
		}
		await settled(page, () =>
			page.evaluate(() => Play.change(["schedulers=[{vllm-v0: {max_num_batched_tokens: 16}}]"])),
		);
		await page.locator("#batch").scrollIntoViewIfNeeded();
		await page.waitForFunction(() =>
			/All 300 requests were turned away/.test(document.querySelector("#batch").textContent),
		);
		assert.equal(await page.locator("#batch canvas:visible, #batch details.save:visible").count(), 0);
		await drawn();
		await audit(page, "nobody got anything");
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("the line of what is simulated is in sight, the rest behind it", async () => {
		const { page, context, trouble } = await open();
		const line = page.locator("#setup summary");
		assert.match(await line.textContent(), /llama-3\.1-8b on h100-sxm/);
		assert(await page.isHidden("#setup-more"));
		await line.focus();
		await page.keyboard.press("Enter");
		assert.match(await page.locator("#setup-more").textContent(), /workload: 300 requests/);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("the batch is saved as a picture and as data", async () => {
		const { page, context, trouble } = await open();
		await page.locator("#batch").scrollIntoViewIfNeeded();
		await page.waitForFunction(() => /Iteration [\d,]+/.test(document.querySelector("#batch").textContent));
		const details = page.locator("#batch details.save").first();
		await details.locator("summary").click();
		const save = async (name) => {
			const [download] = await Promise.all([
				page.waitForEvent("download"),
				details.getByRole("button", { name }).click(),
			]);
			return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
		};
		const svg = await save(/SVG/);
		assert.equal(svg.name, "the-batch-scheduler-a.svg");
		assert.match(svg.text, /llama-3\.1-8b on h100-sxm.*300 requests.*Made by metron-sim/s);
		const csv = await save(/CSV/);
		assert.match(csv.text, /^iteration,from s,to s,what,request,tokens\n\d+,.*(decode|prefill)/s);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("long names of classes leave the figures in view", async () => {
		const { page, context, trouble } = await open({ viewport: { width: 1100, height: 900 } });
		const name = "interactive_users_of_the_assistant_in_the_european_region_during_office_hours";
		await settled(page, () =>
			page.evaluate((name) => Play.change(["workload.classes=[{name: " + name + "}, {name: b}]"]), name),
		);
		const over = await page
			.locator("#figures .scroll")
			.evaluate((one) => [one.scrollWidth - one.clientWidth, one.textContent.length]);
		assert(over[1] > 100 && over[0] <= 0, `${over[0]} px out of view`);
		assert.deepEqual(trouble, []);
		await context.close();
	});
};
