// A question as a link holds it: `name:value` of what was answered, with `;` between.
(() => {
	const P = Play;
	// As the form calls its controls, and as `metron-sim plan` calls its flags.
	const NAMES = [
		"model",
		"gpus",
		"prompt",
		"output",
		"shared_prefix",
		"ttft",
		"tokens_per_s",
		"rate",
		"users",
		"think_time",
		"share",
		"price",
		"tp",
		"dtype",
		"seeds",
		"seed",
	];
	// Signs that a link may have as they are.
	const written = (text) => encodeURIComponent(text).replaceAll("%2C", ",").replaceAll("%3D", "=");
	P.planLink = {
		write: (asked) =>
			NAMES.filter((name) => asked[name])
				.map((name) => name + ":" + written(asked[name]))
				.join(";"),
		read: (text) => {
			const asked = {};
			for (const part of text.split(";").filter(Boolean)) {
				const cut = part.indexOf(":"),
					name = part.slice(0, Math.max(cut, 0));
				if (!NAMES.includes(name)) throw new Error("`" + part.slice(0, 20) + "` is no part of a plan's question");
				try {
					asked[name] = decodeURIComponent(part.slice(cut + 1));
				} catch (_) {
					throw new Error("`" + name + "` is cut off");
				}
			}
			return asked;
		},
	};
})();
