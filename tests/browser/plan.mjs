// The plan's view in Chromium: asked, told, found with the command line's figures, linked, cancelled.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

const SMALL = {
	model: "llama-3.1-8b",
	gpus: "h100-sxm,l40s,a100-sxm-80gb",
	prompt: "1500",
	output: "30",
	shared_prefix: "256",
	ttft: "600ms",
	tokens_per_s: "40",
	rate: "12",
	tp: "1",
	seeds: "1",
};
// Takes long.
const LONG = { ...SMALL, gpus: "all", output: "300", rate: "40", tp: "", seeds: "3" };
const hashOf = (asked) =>
	"#plan=" +
	Object.entries(asked)
		.filter(([, value]) => value)
		.map(([name, value]) => name + ":" + value)
		.join(";");
const found = (page) => page.waitForSelector("#plan-verdict", { timeout: 120000 });
const rows = (page) =>
	page.evaluate(() =>
		[...document.querySelectorAll(".plan-table tbody tr")].map((row) => [
			row.querySelector("th").firstChild.textContent,
			// A number and its unit are not parted there.
			...[...row.querySelectorAll("td")].map((cell) => cell.textContent.replaceAll("\u00a0", " ")),
		]),
	);
const by = (binary, command) =>
	JSON.parse(execFileSync(binary, [...command.split(" ").slice(1), "--format", "json"], { encoding: "utf8" }));

export const planChecks = async ({ check, open, settled, audit, narrow, address, binary, shots }) => {
	await check("plan: a form from the scenario, and what is wrong beside each control", async () => {
		const { page, context, trouble } = await open();
		await page.getByRole("button", { name: "Plan", exact: true }).click();
		assert(await page.isHidden(".columns"));
		assert.equal(await page.inputValue("#plan-amount"), "3");
		assert.equal(await page.inputValue("#plan-prompt"), "4000");
		assert.equal(await page.inputValue("#plan-tokens_per_s"), "50");
		assert.deepEqual(await page.locator(".gpu-list input:checked").evaluateAll((all) => all.map((one) => one.value)), [
			"h100-sxm",
			"l40s",
		]);
		await page.fill("#plan-prompt", "2k");
		await page.fill("#plan-ttft", "soon");
		await page.waitForSelector("#plan-prompt-wrong:not([hidden])");
		assert.match(await page.textContent("#plan-prompt-wrong"), /whole number from 1.*such as 2000, found `2k`/);
		assert(await page.isVisible("#plan-ttft-wrong"));
		assert.equal(await page.getAttribute("#plan-prompt", "aria-invalid"), "true");
		await audit(page, "a question that cannot be taken");
		await page.locator("#planner").screenshot({ path: join(shots, "plan-wrong.png") });
		await page.getByRole("button", { name: "Find the cheapest" }).click();
		await page.waitForFunction(() => document.activeElement.id === "plan-prompt");
		assert(await page.isHidden("#plan-verdict"), "nothing is searched");
		const checked = page.locator(".gpu-list input:checked");
		while ((await checked.count()) > 0) await checked.first().uncheck();
		await page.waitForSelector("#plan-gpus-wrong:not([hidden])");
		await page.getByRole("button", { name: "Fill in from the scenario" }).click();
		await page.waitForFunction(() => !document.querySelector(".wrong:not([hidden])"));
		// Users in place of a rate.
		await page.selectOption("#plan-load", "users");
		await page.fill("#plan-amount", "0");
		await page.fill("#plan-think_time", "2 parsecs");
		await page.waitForSelector("#plan-think_time-wrong:not([hidden])");
		assert.match(await page.textContent("#plan-amount-wrong"), /such as 200, found `0`/);
		await page.getByRole("button", { name: "Back to the playground" }).click();
		assert(await page.isVisible("#drawn"));
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("plan: found with the command line's figures, three widths, light and dark", async () => {
		for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
			const { page, context, trouble } = await open({ url: address + hashOf(SMALL), colorScheme });
			await found(page);
			const command = await page.textContent(".command");
			if (colorScheme === "light") {
				const plan = by(binary, command);
				const shown = await rows(page);
				assert.deepEqual(
					shown.map((row) => row[0]),
					plan.answers.map((one) => one.gpu),
				);
				plan.answers.forEach((one, k) => {
					assert.equal(shown[k][1], String(one.replicas));
					assert.equal(shown[k][4], "$" + one.usd_per_hour.toFixed(2));
					assert.equal(shown[k][5], "$" + one.usd_per_million_output_tokens.toFixed(2));
					assert(shown[k][6].startsWith(Math.round(100 * one.head_room) + " % ("), shown[k][6]);
				});
			}
			for (const width of [390, 800, 1400]) {
				await page.setViewportSize({ width, height: 950 });
				await page.waitForTimeout(250);
				await narrow(page, width);
				await page.screenshot({ path: join(shots, `plan-${colorScheme}-${width}.png`), fullPage: true });
			}
			await audit(page, "a plan, " + colorScheme);
			assert.deepEqual(trouble, []);
			await context.close();
		}
	});

	await check("plan: a link, back, and an answer opened", async () => {
		const { page, context, trouble } = await open({ url: address + hashOf(SMALL) });
		await found(page);
		const [first] = await rows(page);
		await page.fill("#plan-amount", "40");
		await page.getByRole("button", { name: "Find the cheapest" }).click();
		await page.waitForFunction(
			() => /40 requests\/s/.test(document.querySelector("#plan-verdict")?.textContent),
			null,
			{ timeout: 120000 },
		);
		await page.waitForFunction(() => location.hash.includes("rate:40"));
		await page.waitForTimeout(600);
		await page.goBack();
		await page.waitForFunction(() => /12 requests\/s/.test(document.querySelector("#plan-verdict")?.textContent));
		assert.equal(await page.inputValue("#plan-amount"), "12");
		assert.deepEqual((await rows(page))[0], first);
		// Kept as "before", and another opened beside it.
		await page.locator(".acts button", { hasText: "Keep" }).first().click();
		await page.waitForFunction(() => /are kept as/.test(document.querySelector("#planner-form").textContent));
		await settled(page, () => page.locator(".acts button", { hasText: "Open" }).nth(1).click());
		const second = await page.evaluate(() => Play.answer.scenario.gpu);
		assert.notEqual(second, first[0]);
		assert(await page.isVisible("#drawn"));
		assert.match(await page.textContent("#figures-body"), /before: /);
		await page.waitForFunction(() => !location.hash.includes("plan="));
		await page.waitForTimeout(600);
		await page.goBack();
		await page.waitForSelector("#planner:not([hidden]) #plan-verdict");
		assert(await page.isHidden("#drawn"));
		// A link that is damaged says so.
		await page.evaluate(() => {
			location.hash = "#plan=gpu:h100";
		});
		await page.waitForSelector("#notice:not([hidden])");
		assert.match(await page.textContent("#notice"), /no part of a plan/);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("plan: told as it comes, and cancelled", async () => {
		const { page, context, trouble } = await open({ url: address + hashOf(LONG) });
		await page.waitForFunction(
			() => /\d+ of \d+ cells decided, [\d,]+ of about/.test(document.querySelector(".plan-progress").textContent),
			null,
			{ timeout: 60000 },
		);
		// All else goes on meanwhile.
		await settled(page, () => page.evaluate(() => Play.change(["seed=5"])));
		assert(await page.isVisible(".plan-progress"));
		await page.locator("#planner").screenshot({ path: join(shots, "plan-progress.png") });
		await page.getByRole("button", { name: "Cancel" }).click();
		await page.waitForFunction(() => /Cancelled/.test(document.querySelector("#planner-form").textContent));
		assert(await page.isHidden(".plan-progress"));
		// The next one has its turn.
		await page.evaluate((hash) => {
			location.hash = hash;
		}, hashOf(SMALL));
		await found(page);
		assert.deepEqual(trouble, []);
		await context.close();
	});
};

// The same in the page that needs no server.
export const planInside = async (page, binary) => {
	await page.evaluate((hash) => {
		location.hash = hash;
	}, hashOf(LONG));
	await page.waitForFunction(() => /cells decided/.test(document.querySelector(".plan-progress").textContent), null, {
		timeout: 60000,
	});
	await page.getByRole("button", { name: "Cancel" }).click();
	await page.waitForFunction(() => /Cancelled/.test(document.querySelector("#planner-form").textContent));
	await page.evaluate((hash) => {
		location.hash = hash;
	}, hashOf(SMALL));
	await found(page);
	const plan = by(binary, await page.textContent(".command"));
	assert.deepEqual(
		(await rows(page)).map((row) => [row[0], row[3]]),
		plan.answers.map((one) => [one.gpu, String(one.replicas)]),
	);
};
