// How fast a report opens and pans: node speed.mjs REPORT.html
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--headless", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
const began = performance.now();
await page.goto(pathToFileURL(resolve(process.argv[2])).href);
await page.waitForSelector("html[data-ready=yes]");
console.log(`opened and drawn in ${Math.round(performance.now() - began)} ms`);
await page.locator("canvas.timeline").first().scrollIntoViewIfNeeded();
await page.waitForTimeout(500);
for (const zoom of [1, 10, 100, 1000]) {
  const frames = await page.evaluate((zoom) => new Promise((done) => {
    const { whole, set, pan } = Metron.reportTimeline, span = (whole.to - whole.from) / zoom;
    set(whole.from, whole.from + span);
    const times = [];
    let before = performance.now(), k = 0;
    const step = (now) => {
      times.push(now - before);
      before = now;
      if (++k > 90) return done(times.slice(2).sort((a, b) => a - b));
      if (zoom === 1) set(whole.from + (k % 2) * span * 0.01, whole.to - span * 0.02);
      else pan(0.02);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }), zoom);
  console.log(`zoom ${zoom}: median frame ${frames[44].toFixed(1)} ms, P95 ${frames[Math.floor(frames.length * 0.95)].toFixed(1)} ms, longest ${frames[frames.length - 1].toFixed(1)} ms`);
}
await browser.close();
