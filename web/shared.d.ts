// For the type checker alone: what the scripts of a page hand to each other. Every script adds its
// parts to `Metron` (drawing) or to `Play` (the playground); a part that is not listed here, or is
// called otherwise than here, fails the check. Data of a page (runs, stalls, answers) is not typed yet.

declare const uPlot: typeof import("uplot");

/** Text or an element, or what leaves nothing. */
type Child = string | number | Node | false | null | undefined | Child[];

/** A canvas that is drawn anew whenever the page's width or colours change. */
interface Surface {
	canvas: HTMLCanvasElement & Record<string, any>;
	ended: AbortController;
	width: number;
	height: number;
	/** Whether it is drawn while out of sight too. */
	always: boolean;
	paint?: () => void;
	draw?: () => void;
	drawNow?: () => void;
	on?: (kind: string, listener: (event: any) => void, options?: AddEventListenerOptions) => void;
	[more: string]: any;
}

interface MetronParts {
	// base.js
	h(tag: string, attributes?: Record<string, any> | null, ...children: Child[]): any;
	digits(value: number): string;
	count(value: number): string;
	seconds(s: number | null | undefined): string;
	us(us: number): string;
	between(from_us: number, to_us: number): string;
	ns(ns: number): string;
	percent(share: number | null | undefined): string;
	tick(value: number, step: number): string;
	ticks(low: number, high: number, wanted: number, whole?: boolean): { step: number; at: number[] };
	isDark(): boolean;
	onRedraw(listener: () => void): number;
	mark(): number;
	release(mark: number): void;
	redrawAll(): void;
	theme(to?: "light" | "dark" | null): "light" | "dark" | null;
	themeToggle(): HTMLElement;
	calm(): boolean;
	css(name: string): string;
	runColor(place: number): string;
	runDash(place: number): number[];
	causeColor(name: string): string;
	causePattern(name: string): string;
	unbroken(text: string): string;
	causeWords(name: string): string;
	kindColor(kind: string): string;
	patternOf(pattern: any): [string, string, string] | undefined;
	fill(context: CanvasRenderingContext2D, color: string, pattern: string): string | CanvasPattern;
	background(color: string, pattern: string): string;
	swatch(color: () => string, pattern?: string, half?: () => string): HTMLElement;
	stroke(color: () => string, dash: number[], width: number): HTMLElement;
	legend(entries: any[]): HTMLElement;
	told(how: string, tall?: boolean): any;
	spareCanvas(): HTMLCanvasElement;
	empty(body: HTMLElement): void;
	surface(parent: HTMLElement, height: number, label: string, draw: (...args: any[]) => void): Surface;
	cursor: {
		at: number | null;
		hover: number | null;
		follow(follow: (cursor: { at: number | null; hover: number | null }, by?: any) => void, signal?: AbortSignal): void;
		set(at: number, by?: any): void;
		point(hover: number | null, by?: any): void;
	};
	drawCursor(c: CanvasRenderingContext2D, x: (t: number) => number | null, top: number, bottom: number): void;
	drawClock(
		c: CanvasRenderingContext2D,
		shown: { from: number; to: number },
		x: (t: number) => number,
		place: { left: number; right: number; wide: number; y: number },
		mark?: (at: number) => void,
	): void;
	section(parent: HTMLElement, title: string, reading?: any, id?: string): any;
	running(deltas: any): any;
	absent(run: any, part: string): any;
	printNow?: () => void;
	// export.js
	csv(head: any[], rows: any[][]): string;
	save(name: string, blob: Blob): void;
	figureOf: () => string;
	caption(title: string, setup: string[], tool: any): string;
	runsKey: () => { name: string; color: () => string }[];
	saver(parent: HTMLElement, title: string, plot: any, data?: () => [any[], any[][]], key?: () => any[]): HTMLElement;
	drawing(target: () => any, about: any): Promise<string>;
	// tables.js
	table(caption: string, head: any[], rows: any[]): any;
	details(summary: string, caption: string, head: any[], rows: any): any;
	quantile(cdf: any, share: number): any;
	breakable(element: HTMLElement, tight?: any): any;
	figuresTable(element: Element): void;
	// plots.js
	forgetPlots(): void;
	uplot(parent: HTMLElement, label: string, height: number, options: any, data: any, width?: any): any;
	cdf(parent: HTMLElement, plot: any): void;
	readout(text: (plot: any, at: any) => any): { hooks: any };
	missRate(parent: HTMLElement, runs: any[], promise: any): void;
	axes(c: CanvasRenderingContext2D, box: any, x: any, y: any): { x(v: number): number; y(v: number): number };
	lateness(parent: HTMLElement, run: any, most: any, meaning: any): void;
	scatter(parent: HTMLElement, plot: any): any;
	// tokens.js
	tokenScale(runs: any[]): { most: number; tall: number };
	tokens(parent: HTMLElement, run: any, place: number, meaning: any, scale?: any): void;
	// timeline.js
	levels(columns: any): any[];
	laneName(lane: any): string;
	timeline(parent: HTMLElement, runs: any[], meaning: any, opened?: any, more?: any): any;
	// packed.js
	unpacked(lane: any, from_us: number, to_us: number, places: any): Promise<any>;
	canUnpack: boolean;
	// stalls.js
	story(stall: any, meaning: any): string;
	byWhom(culprit: any, stall: any): any;
	noneLate(run: any): HTMLElement;
	allTurnedAway(all: number): string;
	stallList(parent: HTMLElement, run: any, meaning: any, show?: any): any;
	reveal(item: any): any;
	cures(parent: HTMLElement, cures: any): void;
	cureHead: string[];
	cureCells(figures: any): string[];
	cureEffect(tried: any): string;
	cureVerdict(cures: any): string;
	// fates.js
	runKey(runs: any[]): any;
	distributions(parent: HTMLElement, runs: any[]): void;
	misses(parent: HTMLElement, runs: any[]): void;
	latenesses(parent: HTMLElement, runs: any[], meaning: any): void;
	READING: { cdfs: string; misses: string; lateness: string };
	// words.js
	words(causes: any[]): any[];
	// report.js
	reportTimeline: any;
}

/** Where the page stands: what a link holds. */
interface PlayState {
	/** The scenario. */
	text: string | null;
	/** The scenario whose figures are kept as "before". */
	before?: string | null;
	/** Places of the schedulers shown. */
	show?: number[] | null;
	/** The playhead, microseconds. */
	at?: number | null;
	/** What the timeline shows, microseconds. */
	zoom?: number[] | null;
	/** Whose text. */
	request?: number | null;
	/** What a row of "Request by request" is, where it is no request. */
	rows?: "sessions" | null;
	/** The lesson that is open, from 0. */
	lesson?: number | null;
	/** Its step, from 0, once its question was answered. */
	step?: number | null;
	/** What the plan's view was asked last, as its link has it; empty where it is open and nothing was asked. */
	plan?: string | null;
	theme?: "light" | "dark" | null;
	/** Only these parts, for a frame. */
	embed?: string[] | null;
}

/** A step of a lesson: what is said, and what the page shows beside it. */
interface LessonStep {
	said: HTMLElement;
	/** A part of the page, or a way to show it. */
	show: string;
	/** The scheduler whose worst pause it is about. */
	run?: number;
	/** The lane of the timeline that comes first in sight. */
	lane?: number;
	zoom_s?: number[];
	/** Paths of the figures that its words hold. */
	figures: string[];
	/** What is played. */
	answer: any;
	/** Whether the reader may play something else at it. */
	free?: boolean;
}

interface PlayParts {
	// link.js
	fromBase64(text: string): Uint8Array<ArrayBuffer>;
	through(bytes: Uint8Array<ArrayBuffer>, stream: any, most: number): Promise<Uint8Array<ArrayBuffer>>;
	pack(text: string): Promise<string>;
	encode(state: PlayState): Promise<string>;
	decode(fragment: string): Promise<PlayState>;
	// state.js
	kept: { lessons(): string[]; keep(titles: string[]): void };
	state(): PlayState;
	stands(isStep?: boolean): void;
	note(): void;
	isOther(): boolean;
	address(embed: string[] | null): Promise<string>;
	isOwn(address: string): boolean;
	// text.js
	words(from: number, to: number): string;
	// readers.js
	phases: Record<string, [string, () => string, string]>;
	readers: {
		draw(answer: any): void;
		pick(request: number | null, quiet?: boolean): void;
		begin(request: number | null | undefined, at: number | null | undefined): void;
		request(): number | null;
	};
	// lives.js
	lives: {
		draw(answer: any): void;
		ways(run: any, life: any, us: number): HTMLElement[];
		rows(): "sessions" | null;
		begin(rows: string | null | undefined): void;
	};
	// threads.js
	threads: { body: HTMLElement; draw(answer: any): void; moved(): void };
	// sweep.js
	sweep: { draw(answer: any): void; stop(): void };
	// measured.js
	measured: { draw(answer: any): void };
	// engine.js
	data: any;
	ask(question: any): Promise<any>;
	askBeside(question: any, signal: AbortSignal): Promise<any>;
	askLong(question: any, tell: (told: any) => void, signal: AbortSignal): Promise<any>;
	// plan/
	planLink: { write(asked: Record<string, string>): string; read(text: string): Record<string, string> };
	planForm(form: HTMLElement, catalog: any, changed: () => void): any;
	planDefaults(answer: any, catalog: any): Record<string, string>;
	planAnswer(body: HTMLElement, answer: any, act: any): void;
	plan: { stand(): string | null; show(to: string | null | undefined): void; begin(catalog: any): HTMLElement };
	// dials.js
	settings(form: HTMLElement, catalog: any): { draw(answer: any): void };
	// blocks.js
	requestColor(request: number): string;
	blocks(
		parent: HTMLElement,
		place: number,
		shown: () => { window: any; at: number } | null,
	): { draw(): void; tell(): void };
	// steps.js
	batches: {
		draw(to: any): void;
		to(time: number, place?: number, lane?: number): void;
		wanted(): { at_us: number; count: number } | null;
		mark(): void;
		now(): number | null;
	};
	// figures.js
	figures(answer: any): void;
	figureTexts(figure: any): string[];
	// results.js
	timeline: any;
	near(id: string): boolean;
	later(id: string): void;
	opened(state: PlayState, anew: boolean): void;
	stand(): PlayState | any;
	story(run: any, at: number): void;
	partOf(show: string): string;
	look(step: LessonStep, answer: any): void;
	hold(): void;
	draw(answer: any): void;
	// editor.js
	editor: { area: any; show(text: string): void; mark(places: any): void; goto(line: number, column: number): void };
	share(): Promise<void>;
	embedCode(): Promise<void>;
	download(): void;
	// tour.js
	tour(known: any): any;
	lesson(): { lesson: number | null; step: number | null };
	teach(at: number | null, step?: number | null, kept?: boolean): void;
	// course.js
	course: {
		begin(holder: HTMLElement, steps: LessonStep[], at: number, how?: "kept" | "opened"): void;
		end(): void;
		go(to: number, kept?: boolean): void;
		step(): number | null;
	};
	part(id: string): void;
	/** Paths of the figures that a lesson speaks of. */
	meant?: string[] | null;
	// main.js
	before: { text: string; figures: any[]; labels: string[] } | null;
	pin(answer: any): void;
	embedded: string[] | null;
	embed(parts: string[] | null | undefined): void;
	text(): string;
	say(words: string): void;
	isBusy(): boolean;
	change(sets: string[]): void;
	load(to: string, typed?: boolean): void;
	show(places: any): void;
	undo(): void;
	redo(): void;
	taken(answer: any, quiet?: boolean): void;
	answer?: any;
}
