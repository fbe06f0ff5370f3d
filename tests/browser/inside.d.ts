// For the type checker alone: what the tests find inside a page.

declare const Metron: MetronParts;
declare const Play: PlayParts;
declare const axe: any;

/** Of the elements that a selector may find: fields, canvases, and what the page's scripts keep on them. */
interface Element {
	value?: any;
	toDataURL?: any;
	getContext?: any;
	labels?: any;
	placed?: any;
	sizes?: any;
}

/** Of Element Timing, which the standard library does not describe. */
interface PerformanceEntry {
	identifier?: string;
	renderTime?: number;
}
