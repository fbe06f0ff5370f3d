//! The formats of a checkpoint's tensors, from what its config says of its quantisation.

mod compressed;
mod methods;
mod nvidia;
mod quark;
mod weights_only;

use serde_json::{Map, Value};

use crate::catalog::hf::config::{Config, Keys};
use crate::catalog::hf::error::HfConfigError;
use crate::catalog::hf::patterns::Patterns;
use crate::catalog::hf::tensors::{Class, Module, modules};
use crate::catalog::model::{Format, Formats, Model};

type Result<T> = std::result::Result<T, HfConfigError>;

/// What a checkpoint's quantisation says: formats of modules, and of KV.
pub(super) struct Scheme {
    /// Patterns of modules with their format, the first that matches counting; `None` is 16 bits.
    rules: Vec<(Patterns, Option<Format>)>,
    /// Of each module that no rule matches.
    otherwise: Option<Format>,
    /// Which classes are quantised at all.
    classes: Vec<Class>,
    /// Of K and V, bits in 1,024ths.
    kv_bits_1024ths: Option<u32>,
}

impl Scheme {
    /// Adds a rule after the others: to the last where that has the same format, so that lists of
    /// thousands of modules are few rules.
    fn rule(&mut self, key: &str, patterns: Patterns, format: Option<Format>) -> Result<()> {
        const MOST: usize = 1024;
        match self.rules.last_mut() {
            Some((last, own)) if *own == format => last.extend(key, patterns)?,
            _ => self.rules.push((patterns, format)),
        }
        if self.rules.len() > MOST {
            let expected = "of at most 1024 runs of modules of one format";
            return Err(HfConfigError::wrong(key, expected, "more"));
        }
        Ok(())
    }

    /// Adds rules of single modules, which do not overlap.
    fn single<'n>(
        &mut self,
        key: &str,
        modules: impl IntoIterator<Item = (&'n str, Option<Format>)>,
    ) -> Result<()> {
        let mut by_format: Vec<(Option<Format>, Vec<&str>)> = Vec::new();
        for (name, format) in modules {
            match by_format.iter_mut().find(|(known, _)| *known == format) {
                Some((_, names)) => names.push(name),
                None => by_format.push((format, vec![name])),
            }
        }
        for (format, names) in by_format {
            self.rule(key, Patterns::new(key, names)?, format)?;
        }
        Ok(())
    }

    /// Everything in 16 bits.
    fn none() -> Scheme {
        Scheme {
            rules: Vec::new(),
            otherwise: None,
            classes: LINEAR.to_vec(),
            kv_bits_1024ths: None,
        }
    }
}

/// What linear layers are: all but embedding and head.
const LINEAR: [Class; 4] = [Class::Attention, Class::Mlp, Class::Shared, Class::Experts];

/// Reads the formats.
pub(super) fn read<'a>(
    config: &Config<'a>,
    beside: Option<&'a Map<String, Value>>,
    model: &Model,
) -> Result<Formats> {
    dtype(config)?;
    // ChatGLM's: 0 where it is not quantised.
    if config.text.peek("quantization_bit").and_then(Value::as_u64) == Some(0) {
        config.pass(&["quantization_bit"]);
    }
    let own =
        config.anywhere("quantization_config").or_else(|| config.anywhere("compression_config"));
    let mlx = config.anywhere("quantization");
    let inside = beside.map(|map| nvidia::in_file(config, map)).transpose()?;
    let own = match own.or(mlx) {
        None => None,
        Some(Value::Object(map)) => Some(map),
        Some(other) => return Err(HfConfigError::wrong("quantization_config", "a map", other)),
    };
    let named = own.and_then(|map| map.get("quant_method")).and_then(Value::as_str);
    let scheme = match (own, inside) {
        // NVIDIA's file beside the config counts where the config has another method's words, as that
        // of the checkpoint which NVIDIA quantised anew.
        (Some(_), Some(inside)) if named.is_some_and(|method| method != "modelopt") => {
            config.say("`hf_quant_config.json` beside it counts, not `quantization_config`");
            nvidia::beside(config, inside, model)?
        }
        (Some(own), _) => {
            let keys = Keys::new(own, "quantization_config.");
            let scheme = methods::read(config, &keys, model)?;
            config.keep(keys);
            scheme
        }
        (None, Some(inside)) => nvidia::beside(config, inside, model)?,
        (None, None) => Scheme::none(),
    };
    Ok(formats(config, model, &scheme))
}

/// The number format of a checkpoint that is not quantised.
fn dtype(config: &Config<'_>) -> Result<()> {
    let Some(value) = config.anywhere("dtype").or_else(|| config.anywhere("torch_dtype")) else {
        return Ok(());
    };
    match value.as_str().map(|text| text.trim_start_matches("torch.")) {
        Some("bfloat16" | "float16" | "half" | "auto" | "bf16" | "fp16") => Ok(()),
        Some("float32" | "float" | "fp32") => {
            config
                .say("its checkpoint has 32 bits a weight; served in 16, as engines do by default");
            Ok(())
        }
        _ => Err(HfConfigError::unknown("torch_dtype", value, "bfloat16, float16, float32")),
    }
}

/// The formats by class: exact in bytes where modules of a class differ.
fn formats(config: &Config<'_>, model: &Model, scheme: &Scheme) -> Formats {
    let all = modules(model);
    let mut formats = Formats::BF16;
    for (class, name, slot) in [
        (Class::Attention, "attention", &mut formats.attention),
        (Class::Mlp, "dense layers", &mut formats.mlp),
        (Class::Shared, "shared experts", &mut formats.shared),
        (Class::Experts, "experts", &mut formats.experts),
        (Class::Embedding, "the embedding", &mut formats.embedding),
        (Class::Head, "the head", &mut formats.head),
    ] {
        let own = all.iter().filter(|module| module.class == class);
        let of: Vec<(Format, u64)> =
            own.map(|module| (scheme.of(module), module.weights)).collect();
        *slot = mean(config, name, &of);
    }
    formats.kv_bits_1024ths = scheme.kv_bits_1024ths;
    formats
}

impl Scheme {
    fn of(&self, module: &Module) -> Format {
        if !self.classes.contains(&module.class) {
            return Format::BF16;
        }
        let rule = self.rules.iter().find(|(patterns, _)| patterns.matches_any(&module.names));
        rule.map_or(self.otherwise, |(_, format)| *format).unwrap_or(Format::BF16)
    }
}

/// One format for a class: that of most of its weights, with the mean bits of all.
fn mean(config: &Config<'_>, name: &str, of: &[(Format, u64)]) -> Format {
    let weights: u128 = of.iter().map(|(_, weights)| u128::from(*weights)).sum();
    if weights == 0 {
        return Format::BF16;
    }
    let bits: u128 = of.iter().map(|(f, w)| u128::from(f.bits_1024ths) * u128::from(*w)).sum();
    let mut by_name: Vec<(Format, u128)> = Vec::new();
    for (format, own) in of {
        match by_name.iter_mut().find(|(known, _)| known.name == format.name) {
            Some((_, sum)) => *sum += u128::from(*own),
            None => by_name.push((*format, u128::from(*own))),
        }
    }
    let most =
        by_name.iter().max_by_key(|(_, sum)| *sum).map_or(Format::BF16, |(format, _)| *format);
    if by_name.len() > 1 {
        let parts: Vec<String> = by_name
            .iter()
            .map(|(format, own)| format!("{:.1} % {format}", *own as f64 * 100.0 / weights as f64))
            .collect();
        config.say(format!("of {name}, {}: taken as {most} of the mean bits", parts.join(", ")));
    }
    let bits = u32::try_from((bits + weights / 2) / weights).unwrap_or(u32::MAX);
    Format { bits_1024ths: bits, ..most }
}
