//! Lists, maps and choices of a tree, as serde walks them.

use serde::Deserializer as _;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use super::Decoder;
use super::mistake::{Mistake, What};
use crate::yaml::node::{Entry, Node, Value};
use crate::yaml::source::Span;

/// The elements of a list that are not cut out.
pub(super) struct Items<'a, 'de, 's> {
    parent: &'a Decoder<'de, 's>,
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'a, 'de, 's> Items<'a, 'de, 's> {
    pub(super) fn new(parent: &'a Decoder<'de, 's>, items: &'de [Node]) -> Self {
        Items { parent, items: items.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        for (index, node) in self.items.by_ref() {
            let path = self.parent.path.index(index);
            if !self.parent.state.is_cut(&path) {
                return seed.deserialize(self.parent.child(node, path)).map(Some);
            }
        }
        Ok(None)
    }
}

/// The entries of a map that are not cut out.
pub(super) struct Fields<'a, 'de, 's> {
    parent: &'a Decoder<'de, 's>,
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'a, 'de, 's> Fields<'a, 'de, 's> {
    pub(super) fn of(parent: &'a Decoder<'de, 's>) -> Self {
        Fields { parent, entries: parent.node.entries().iter(), value: None }
    }

    pub(super) fn none(parent: &'a Decoder<'de, 's>) -> Self {
        Fields { parent, entries: [].iter(), value: None }
    }

    fn next_entry(&mut self) -> Option<&'de Entry> {
        let Fields { parent, entries, value } = self;
        *value = entries.find(|entry| !parent.state.is_cut(&parent.path.key(&entry.key)));
        *value
    }

    fn value_of(&self, entry: &'de Entry) -> Decoder<'de, 's> {
        self.parent.child(&entry.value, self.parent.path.key(&entry.key))
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        let Some(entry) = self.next_entry() else { return Ok(None) };
        let key: de::value::BorrowedStrDeserializer<'de, Mistake> =
            de::value::BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|mistake| mistake.at(&self.value_of(entry)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(self.value_of(entry))
    }
}

/// One choice of an enum: `name`, or `name: content`.
pub(super) struct Variant<'a, 'de, 's> {
    decoder: &'a Decoder<'de, 's>,
    name: &'de str,
    content: Option<&'de Node>,
}

impl<'a, 'de, 's> Variant<'a, 'de, 's> {
    pub(super) fn new(
        decoder: &'a Decoder<'de, 's>,
        name: &'de str,
        content: Option<&'de Node>,
    ) -> Self {
        Variant { decoder, name, content }
    }
}

impl<'a, 'de, 's> EnumAccess<'de> for Variant<'a, 'de, 's> {
    type Error = Mistake;
    type Variant = Content<'a, 'de, 's>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Mistake> {
        let name: de::value::StrDeserializer<'de, Mistake> = self.name.into_deserializer();
        let value = seed.deserialize(name)?;
        Ok((value, Content { decoder: self.decoder, name: self.name, content: self.content }))
    }
}

/// What stands under the name of a choice.
pub(super) struct Content<'a, 'de, 's> {
    decoder: &'a Decoder<'de, 's>,
    name: &'de str,
    content: Option<&'de Node>,
}

/// The content of a choice that is written as its name alone: all its figures at their defaults,
/// where it has them. Its place is the name's, found by path.
static NOTHING: Node = Node { span: Span { source: 0, start: 0, end: 0 }, value: Value::Null };

impl<'de, 's> Content<'_, 'de, 's> {
    fn decoder(&self) -> Decoder<'de, 's> {
        let path = self.decoder.path.key(self.name);
        self.decoder.child(self.content.unwrap_or(&NOTHING), path)
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de, '_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.content {
            None => Ok(()),
            Some(node) if matches!(&node.value, Value::Null) => Ok(()),
            Some(node) if matches!(&node.value, Value::Map(e) if e.is_empty()) => Ok(()),
            Some(_) => {
                let at = self.decoder();
                Err(Mistake::of(What::Expected("nothing more".to_owned())).at(&at))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        seed.deserialize(self.decoder())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        let at = self.decoder.clone();
        Err::<V::Value, _>(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
            .map_err(|e: Mistake| e.at(&at))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.decoder().deserialize_struct("", fields, visitor)
    }
}
