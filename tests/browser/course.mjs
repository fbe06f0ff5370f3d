// Lessons in Chromium, told with the picture beside the words: whatever is read, the page shows. By the wheel, by
// keys, on a phone, without motion, in forced colours, opened by a link at a step.
import assert from "node:assert/strict";
import { join } from "node:path";

const PART = { pause: "timeline", requests: "lives", sessions: "lives" };

// How far below the window's top a step stands that was scrolled to.
const margin = (page) =>
	page.evaluate(
		() =>
			Number.parseFloat(getComputedStyle(document.querySelector(".course-step")).scrollMarginTop) +
			Number.parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop),
	);
// Scrolls until a step stands where words are read and stays there, as a wheel would: it ends what scrolls smoothly.
export const readStep = async (page, at) => {
	const wanted = await margin(page);
	for (let tries = 0, still = 0; still < 3 && tries < 100; tries++) {
		const moved = await page.evaluate(
			([at, wanted]) => {
				const before = window.scrollY,
					{ top } = document.querySelectorAll(".course-step")[at].getBoundingClientRect();
				window.scrollBy({ top: top - wanted, behavior: "instant" });
				return Math.abs(window.scrollY - before) > 2;
			},
			[at, wanted],
		);
		still = moved ? 0 : still + 1;
		await page.waitForTimeout(30);
	}
	await page.waitForFunction((at) => Play.lesson().step === at, at);
};
const stands = (page) =>
	page.evaluate(() => ({
		...Play.lesson(),
		shown: [...document.querySelectorAll("#drawn > section, #yaml")]
			.filter((one) => one.getClientRects().length)
			.map((one) => one.id),
		text: Play.answer.text,
		busy: Play.isBusy(),
		view: Play.timeline && [Play.timeline.view.from, Play.timeline.view.to],
		whole: Play.timeline && [Play.timeline.whole.from, Play.timeline.whole.to],
		at: Metron.cursor.at,
		request: Play.readers.request(),
		rows: Play.lives.rows(),
		meant: [...document.querySelectorAll("tr.meant th")].length,
		current: [...document.querySelectorAll(".course-step")].findIndex((one) => one.hasAttribute("aria-current")),
	}));
// What is wrong with the picture beside a step, if anything is.
const wrong = (now, step, taught) => {
	const answer = step.before ? taught.before : taught.played,
		part = PART[step.show] || step.show,
		near = (a, b) => Math.abs(a - b) < 2;
	if (now.busy || now.text !== answer.text) return "another scenario is played";
	if (now.shown.join() !== part) return `${now.shown} is shown, not ${part}`;
	if (part === "lives" && now.rows !== (step.show === "sessions" ? "sessions" : null)) return `rows are ${now.rows}`;
	if (step.show === "figures" && step.text?.includes("{") && !now.meant) return "no figure is marked";
	const pauses = answer.runs
		.flatMap((run, place) => run.stalls.filter((one) => one.token > 0).map((stall) => ({ stall, place })))
		.filter(({ place }) => step.run === undefined || step.run === place)
		.sort((a, b) => b.stall.length_ns - a.stall.length_ns);
	const worst = pauses[0]?.stall;
	if (["pause", "readers", "batch"].includes(step.show) && worst) {
		if (!near(now.at, (worst.from_us + worst.to_us) / 2)) return `the playhead is at ${now.at}`;
		if (step.show === "readers" && now.request !== worst.request) return `the text is that of ${now.request}`;
		if (step.show === "pause" && !(now.view[0] <= worst.from_us && now.view[1] >= worst.to_us))
			return "no pause in view";
		if (step.show === "pause" && now.view[1] - now.view[0] > 4 * (worst.to_us - worst.from_us)) return "from afar";
	}
	if (!["timeline", "requests", "sessions"].includes(step.show)) return null;
	const view = step.zoom_s ? step.zoom_s.map((s) => s * 1e6) : now.whole;
	return near(view[0], now.view[0]) && near(view[1], now.view[1]) ? null : `the timeline shows ${now.view}`;
};
// Reads a lesson from the first step to the last and back, and holds the picture against each.
export const readThrough = async (page, taught) => {
	const steps = [...taught.lesson.seen, { show: taught.lesson.try_show }];
	assert.equal(await page.locator(".course-step").count(), steps.length);
	for (const at of [...steps.keys(), ...[...steps.keys()].reverse().slice(1)]) {
		await readStep(page, at);
		let now = null,
			why = "nothing was looked at";
		for (let tries = 0; why && tries < 100; tries++) {
			if (tries) await page.waitForTimeout(50);
			now = await stands(page);
			why = wrong(now, steps[at], taught);
		}
		assert.equal(why, null, `${taught.lesson.title}, step ${at + 1}: ${why}`);
		assert.equal(now.current, at);
		// What the words are about is in sight of the picture, however long the part is.
		const sight = await page.evaluate(
			([figures, lane]) => {
				const box = document.querySelector(".columns").getBoundingClientRect(),
					what = figures ? "tr.meant" : lane ? "p.lane" : ".staged h2, .staged h3, .staged p",
					tops = [...document.querySelectorAll(what)].map((one) => one.getBoundingClientRect().top);
				return tops.slice(lane || 0).some((top) => top >= box.top - 2 && top < box.bottom);
			},
			[now.meant > 0 && steps[at].show === "figures", steps[at].lane],
		);
		assert(sight, `${taught.lesson.title}, step ${at + 1}: out of sight`);
		// One idea a screen: its words are in sight, all of them, and the next step's stand below.
		const seen = await page.evaluate((at) => {
			const words = [...document.querySelectorAll(".course-step")].map((one) => one.lastElementChild);
			const { top, bottom } = words[at].getBoundingClientRect(),
				picture = document.querySelector(".columns").getBoundingClientRect();
			return { top, bottom, low: window.innerHeight, picture };
		}, at);
		assert(seen.top > 0 && seen.bottom < seen.low, `step ${at + 1} is read from ${seen.top} to ${seen.bottom}`);
		assert(seen.picture.top < seen.low * 0.5 && seen.picture.bottom <= seen.low + 1, "the picture stays");
	}
};
const opened = async (open, url, options = {}) => {
	const all = await open({ url, ...options });
	await all.page.waitForSelector(".course-step[aria-current]");
	await all.page.waitForFunction(() => document.documentElement.dataset.ready === "yes" && !Play.isBusy());
	return all;
};
const step = (page) => page.evaluate(() => Play.lesson().step);
const arrives = (page, at) => page.waitForFunction((at) => Play.lesson().step === at, at);
// The step's words stand below the top of their room.
const inSight = async (page, at) =>
	page.waitForFunction(
		([at, wanted]) => Math.abs(document.querySelectorAll(".course-step")[at].getBoundingClientRect().top - wanted) < 3,
		[at, await margin(page)],
	);

export const courseChecks = async ({ check, open, settled, audit, narrow, address, shots }) => {
	await check("a lesson is opened by its link at a step, and left by back", async () => {
		const { page, context, trouble } = await opened(open, address + "#lesson=1&step=2");
		await inSight(page, 1);
		await page.waitForFunction(() => Play.timeline && Play.timeline.view.to - Play.timeline.view.from < 3e6);
		assert.deepEqual((await stands(page)).shown, ["timeline"]);
		// Whoever looks elsewhere, or plays something else, sends a link to that.
		await page.evaluate(() => Play.timeline.set(30e6, 40e6));
		await settled(page, () => page.evaluate(() => Play.change(["seed=9"])));
		const link = await page.evaluate(() => Play.address(null));
		assert.match(link, /&lesson=1&step=2$/);
		const there = await opened(open, link);
		await inSight(there.page, 1);
		await there.page.waitForFunction(() => Play.timeline);
		await there.page.waitForTimeout(500);
		const now = await stands(there.page);
		assert.match(now.text, /seed: 9/);
		assert.deepEqual([now.shown, now.view], [["timeline"], [30e6, 40e6]]);
		await there.context.close();
		// The next step speaks of the lesson's own scenario again.
		await page.getByRole("button", { name: "Next step" }).nth(1).click();
		await page.waitForFunction(() => /seed: 7/.test(Play.answer.text) && Play.lesson().step === 2);
		await page.waitForFunction(() => location.hash.endsWith("step=3"));
		await page.getByRole("button", { name: "Next step" }).nth(2).click();
		await page.waitForFunction(() => location.hash.endsWith("step=4"));
		await page.goBack();
		await arrives(page, 2);
		await page.goForward();
		await arrives(page, 3);
		// A step that is not there is the last one; without one the question is asked.
		await page.evaluate(() => {
			location.hash = "#lesson=1&step=99";
		});
		await arrives(page, (await page.locator(".course-step").count()) - 1);
		await page.evaluate(() => {
			location.hash = "#lesson=1";
		});
		await page.waitForSelector("body.hushed #tour form");
		assert(await page.isHidden("#drawn"));
		await page.goBack();
		await page.waitForSelector("body.learning .course-step[aria-current]");
		assert.deepEqual(trouble, []);
		await context.close();
		for (const hash of ["#lesson=1&step=0", "#lesson=1&step=x"]) {
			const { page, context } = await open({ url: address + hash });
			assert.match(await page.textContent("#notice"), /`step` is/);
			await context.close();
		}
	});

	await check("a lesson is read by keys", async () => {
		const { page, context, trouble } = await opened(open, address + "#lesson=1&step=1");
		for (const [key, to] of /** @type {[string, number][]} */ ([
			["PageDown", 1],
			["PageDown", 2],
			["PageUp", 1],
			["ArrowRight", 2],
			["ArrowLeft", 1],
		])) {
			await page.keyboard.press(key);
			await arrives(page, to);
			await inSight(page, to);
			assert.equal(await page.evaluate(() => document.activeElement.className), "course-step");
		}
		// Arrows scroll, and what is read then is shown.
		for (let k = 0; k < 40 && (await step(page)) === 1; k++) {
			await page.keyboard.press("ArrowDown");
			await page.waitForTimeout(60);
		}
		assert.equal(await step(page), 2);
		// So does the focus: it goes from button to button.
		await page.locator(".course-step button").nth(2).focus();
		await page.keyboard.press("Tab");
		await arrives(page, 3);
		await page.keyboard.press("Enter");
		await inSight(page, 4);
		// In the picture keys are the picture's own.
		await page.locator("#settings-fold summary").focus();
		await page.keyboard.press("PageDown");
		await page.waitForTimeout(300);
		assert.equal(await step(page), 4);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("beside a lesson every control works", async () => {
		const { page, context, trouble } = await opened(open, address + "#lesson=1&step=1");
		const shown = async () => (await stands(page)).shown;
		assert.deepEqual(await shown(), ["figures"]);
		await page.locator("#contents button", { hasText: "What the GPU ran" }).click();
		assert.deepEqual(await shown(), ["timeline"]);
		await page.locator("#settings-fold summary").click();
		await settled(page, async () => {
			await page.getByLabel("Requests per second, exactly").fill("5");
			await page.keyboard.press("Enter");
		});
		assert.equal(await step(page), 0, "what one plays is no step");
		await settled(page, () => page.getByRole("button", { name: "Undo" }).click());
		assert.match(await page.evaluate(() => Play.text()), /rate: 3\b/);
		await page.getByRole("button", { name: "Share" }).click();
		assert.deepEqual(await shown(), ["yaml"]);
		await readStep(page, 1);
		await page.waitForFunction(() => document.querySelector("#timeline.staged"));
		// A stall leads to its story.
		await page.locator("canvas.timeline").first().focus();
		await page.keyboard.press("n");
		await page.keyboard.press("Enter");
		await page.waitForSelector(".stall.chosen .cures table");
		assert.deepEqual(await shown(), ["stalls"]);
		assert.equal(await step(page), 1);
		await page.getByRole("button", { name: "Leave the tour" }).first().click();
		assert((await shown()).length > 10, "the whole page again");
		assert.equal(await page.locator("tr.meant").count(), 0);
		assert.equal(await page.evaluate(() => document.querySelector("details#settings-fold").hasAttribute("open")), true);
		assert.deepEqual(trouble, []);
		await context.close();
	});

	await check("on a phone the picture stays above the words", async () => {
		for (const [width, height] of [
			[390, 844],
			[360, 640],
			[768, 1024],
		]) {
			const { page, context, trouble } = await opened(open, address + "#lesson=1&step=1", {
				viewport: { width, height },
				hasTouch: true,
			});
			for (const at of [1, 2, 3]) {
				await readStep(page, at);
				await page.waitForTimeout(1200);
				const { picture, words, drawn } = await page.evaluate((at) => {
					const box = (one) => JSON.parse(JSON.stringify(one.getBoundingClientRect()));
					const part = document.querySelector(".staged");
					return {
						picture: box(document.querySelector(".columns")),
						words: box(document.querySelectorAll(".course-step")[at].querySelector("p:not(.hint)")),
						drawn: box(part.querySelector("canvas, .pane")),
					};
				}, at);
				assert(picture.top < 1 && picture.bottom < height * 0.6, `${width}: the picture ends at ${picture.bottom}`);
				assert(words.top >= picture.bottom && words.top < height * 0.75, `${width}: words at ${words.top}`);
				assert(drawn.top < picture.bottom - 60 && drawn.bottom > 60, `${width}: what is drawn is in sight`);
				await narrow(page, width);
			}
			await page.screenshot({ path: join(shots, `playground-course-${width}.png`) });
			await audit(page, `a step at ${width}`);
			assert.deepEqual(trouble, []);
			await context.close();
		}
	});

	await check("a lesson moves nothing where motion is to be little", async () => {
		for (const reducedMotion of ["reduce", "no-preference"]) {
			const { page, context } = await opened(open, address + "#lesson=1&step=1", { reducedMotion });
			await page.waitForFunction(() => document.documentElement.dataset.drawn && Play.timeline);
			const found = await page.evaluate(
				() =>
					new Promise((done) => {
						const views = new Set(),
							tops = new Set(),
							began = performance.now();
						document.querySelector(".course-step button").dispatchEvent(new MouseEvent("click", { bubbles: true }));
						const look = () => {
							views.add(Math.round(Play.timeline.view.to - Play.timeline.view.from));
							tops.add(Math.round(window.scrollY));
							if (performance.now() - began < 2500) requestAnimationFrame(look);
							else done({ views: views.size, tops: tops.size });
						};
						look();
					}),
			);
			if (reducedMotion === "reduce") assert.deepEqual(found, { views: 1, tops: 1 });
			else assert(found.views > 3 && found.tops > 3, JSON.stringify(found));
			await context.close();
		}
	});

	await check("a lesson in forced colours and in the dark", async () => {
		for (const options of /** @type {any[]} */ ([{ forcedColors: "active" }, { colorScheme: "dark" }])) {
			const { page, context, trouble } = await opened(open, address + "#lesson=1&step=2", options);
			const edges = await page.evaluate(() =>
				[...document.querySelectorAll(".course-step")].map((one) => getComputedStyle(one).borderLeftWidth),
			);
			assert.deepEqual([...new Set(edges.filter((_, k) => k !== 1))], ["1px"]);
			assert.equal(edges[1], "4px", "which step is read is told by more than a colour");
			await page.waitForTimeout(1200);
			await page.screenshot({ path: join(shots, `playground-course-${Object.values(options)[0]}.png`) });
			if (options.colorScheme) await audit(page, "a step in the dark");
			assert.deepEqual(trouble, []);
			await context.close();
		}
	});
};
