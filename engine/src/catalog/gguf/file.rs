//! The header of a GGUF file.
//!
//! The crate's own reader takes only keys in small letters, digits and underscores, and files in use
//! have others (`gpt-oss.block_count`); so keys are read here, and all else by the crate.

use std::collections::HashMap;
use std::io::Read;

use gguf_rs_lib::format::{GGUFHeader, GGUFTensorType, GGUFValueType, MetadataValue, TensorInfo};

use crate::catalog::hf::HfConfigError;

/// Longest header that is read, in bytes: vocabularies take some megabytes.
const HEADER_MAX: u64 = 256 << 20;
/// Most keys.
const KEYS_MAX: u64 = 100_000;
/// Longest key, in bytes.
const KEY_MAX: u64 = 1 << 16;

/// What stands before the tensors.
pub(super) struct Header {
    metadata: HashMap<String, MetadataValue>,
    pub(super) tensors: Vec<Tensor>,
}

/// A tensor's name, its sizes and its format.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dims: Vec<u64>,
    pub(super) format: GGUFTensorType,
}

fn broken(error: impl std::fmt::Display) -> HfConfigError {
    HfConfigError::Gguf(error.to_string())
}

impl Header {
    /// Reads it; nothing behind it is read.
    pub(super) fn read(reader: impl Read) -> Result<Header, HfConfigError> {
        let mut reader = as_version_3(reader)?.take(HEADER_MAX);
        let header = GGUFHeader::read_from(&mut reader).map_err(broken)?;
        if header.metadata_kv_count > KEYS_MAX || header.tensor_count > KEYS_MAX {
            return Err(broken("too many keys or tensors"));
        }
        let mut metadata = HashMap::new();
        for _ in 0..header.metadata_kv_count {
            let key = key(&mut reader)?;
            let kind = GGUFValueType::from_u32(u32_of(&mut reader)?).map_err(broken)?;
            metadata.insert(key, MetadataValue::read_from(&mut reader, kind).map_err(broken)?);
        }
        let mut tensors = Vec::new();
        for _ in 0..header.tensor_count {
            let info = TensorInfo::read_from(&mut reader).map_err(broken)?;
            let format = GGUFTensorType::from_u32(info.tensor_type).map_err(broken)?;
            tensors.push(Tensor { name: info.name, dims: info.dimensions, format });
        }
        Ok(Header { metadata, tensors })
    }

    pub(super) fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.metadata.get(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// All keys with their values, by name.
    pub(super) fn sorted(&self) -> Vec<(&str, &MetadataValue)> {
        let mut all: Vec<_> =
            self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }
}

/// Version 2 has the layout of version 3, which only adds files of big-endian numbers; the crate reads
/// version 3 alone. Version 1 has shorter lengths.
fn as_version_3(mut reader: impl Read) -> Result<impl Read, HfConfigError> {
    let mut first = Vec::new();
    (&mut reader).take(8).read_to_end(&mut first).map_err(broken)?;
    match first.get(4..8) {
        Some([2, 0, 0, 0]) => first[4] = 3,
        Some([1, 0, 0, 0]) => {
            return Err(broken("it has version 1: convert it with a tool of today's llama.cpp"));
        }
        _ => {}
    }
    Ok(std::io::Cursor::new(first).chain(reader))
}

fn u32_of(reader: &mut impl Read) -> Result<u32, HfConfigError> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes).map_err(broken)?;
    Ok(u32::from_le_bytes(bytes))
}

fn key(reader: &mut impl Read) -> Result<String, HfConfigError> {
    let mut length = [0; 8];
    reader.read_exact(&mut length).map_err(broken)?;
    let length = u64::from_le_bytes(length);
    if length > KEY_MAX {
        return Err(broken(format!("a key of {length} bytes")));
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() as u64 != length {
        return Err(broken("it ends inside a key"));
    }
    String::from_utf8(bytes).map_err(broken)
}
