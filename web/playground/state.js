// Where the page stands, as its address tells it: every step is one that "back" undoes, and a link holds all
// of it.
(() => {
	const P = Play,
		M = Metron;
	// An address longer than this is not written while one works: browsers cut them, and it is no longer read.
	const LONGEST = 8000;
	const KEPT = "metron-sim.lessons";

	/* ---- what is kept on this machine: which lessons were done ---- */
	// Pages opened from disk, and those in frames, may have no room to keep anything.
	P.kept = {
		lessons: () => {
			try {
				const list = JSON.parse(localStorage.getItem(KEPT) || "[]");
				return Array.isArray(list) ? list.filter((one) => typeof one === "string") : [];
			} catch (_) {
				return [];
			}
		},
		keep: (titles) => {
			try {
				localStorage.setItem(KEPT, JSON.stringify(titles));
			} catch (_) {
				// Then they last as long as the page.
			}
		},
	};

	/* ---- the address ---- */
	let written = location.hash,
		timer = null,
		step = false,
		on = false;
	P.state = () => {
		const two = P.answer?.schedulers.length > 2;
		return /** @type {PlayState} */ ({
			text: P.text(),
			before: P.before ? P.before.text : null,
			show: two ? P.answer.shown : null,
			...P.stand(),
			...P.lesson(),
			plan: P.plan.stand(),
			theme: M.theme(),
		});
	};
	const write = async () => {
		timer = null;
		const push = step;
		step = false;
		const hash = await P.encode(P.embedded ? { ...P.state(), embed: P.embedded } : P.state());
		if (hash === written || hash.length > LONGEST) return;
		written = hash;
		try {
			history[push ? "pushState" : "replaceState"](null, "", hash);
		} catch (_) {
			// A page in a frame may not be allowed to, and browsers limit how often.
		}
	};
	// Notes that the page stands elsewhere; `isStep` where "back" should lead to where it stood.
	P.stands = (isStep) => {
		if (!on) return;
		step = step || Boolean(isStep);
		clearTimeout(timer);
		timer = setTimeout(write, 400);
	};
	// From now on moves are noted: what is opened is no move.
	P.note = () => {
		on = true;
	};
	// Whether the address was changed by someone else: by hand, or by "back".
	P.isOther = () => {
		if (location.hash === written) return false;
		written = location.hash;
		clearTimeout(timer);
		step = false;
		return true;
	};
	// Whether an address leads to the machine that it is opened on.
	P.isOwn = (address) => {
		const { protocol, hostname } = new URL(address);
		return protocol === "file:" || /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0)$/.test(hostname);
	};
	// The address that others can open, where there is one.
	P.address = async (embed) => {
		const own = location.href.split("#")[0],
			base = P.data.address && P.isOwn(own) ? P.data.address : own;
		return base + (await P.encode(embed ? { ...P.state(), embed } : P.state()));
	};
})();
