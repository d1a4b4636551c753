//! A document as a tree of small slots that point into its text.

use std::borrow::Cow;

use bytes::Bytes;

use super::number::Number;
use super::read::{JsonError, JsonReader, JsonText, JsonToken, text, text_bytes};

/// How much of a body is read.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes: usize,
    /// Values, and names of members.
    pub nodes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    Null,
    True,
    False,
    Number,
    Text,
    Array,
    Object,
    Name,
}

/// 16 bytes.
#[derive(Clone, Copy, Debug)]
struct NodeSlot {
    begin: u32,
    /// The end of its text; for arrays and objects, how many elements or members.
    end: u32,
    /// The slot behind all that is in it.
    next: u32,
    kind: JsonKind,
    /// The bounds were reached within it.
    open: bool,
}

/// A document, as far as its body was read.
#[derive(Clone, Debug)]
pub struct Doc {
    body: Bytes,
    slots: Vec<NodeSlot>,
    depth: usize,
}

impl Doc {
    /// Reads a body as far as the bounds go. What lies beyond them is not looked at, and whatever
    /// it belongs to is open.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn read(body: &Bytes, bounds: Bounds) -> Result<Self, JsonError> {
        let most = bounds.bytes.min(u32::MAX as usize);
        let cut = body.len() > most;
        let text = &body[..body.len().min(most)];
        let mut builder = Builder { slots: Vec::new(), open: Vec::new(), depth: 0 };
        let mut reader = JsonReader::new(text);

        loop {
            let token = match reader.next() {
                Ok(Some(token)) => token,
                Ok(None) => break,
                // Nothing is wrong with it but that it was cut.
                Err(_) if cut && reader.is_at_end() => {
                    builder.cut();
                    break;
                }
                Err(error) => return Err(error),
            };

            // A number that ends where the text was cut may have more digits.
            let unsure = cut && reader.is_at_end() && matches!(token, JsonToken::Number(_));
            if unsure || builder.slots.len() >= bounds.nodes {
                builder.cut();
                break;
            }
            builder.add(token);
        }

        if builder.slots.is_empty() {
            return Err(JsonError { at: reader.at() });
        }
        Ok(Self { body: body.clone(), slots: builder.slots, depth: builder.depth })
    }

    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node { doc: self, at: 0 }
    }

    /// The value of this number, as the node itself gave it.
    #[must_use]
    pub fn node(&self, at: u32) -> Option<Node<'_>> {
        self.slots.get(at as usize).map(|_| Node { doc: self, at })
    }

    /// How deep its arrays and objects are nested.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many values and names were read.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.slots.len()
    }
}

struct Builder {
    slots: Vec<NodeSlot>,
    /// Arrays and objects that are not over.
    open: Vec<u32>,
    /// How many there were at most.
    depth: usize,
}

impl Builder {
    fn add(&mut self, token: JsonToken) {
        let (kind, span) = match token {
            JsonToken::Name(span) => (JsonKind::Name, span),
            JsonToken::Object(begin) => (JsonKind::Object, (begin, 0)),
            JsonToken::Array(begin) => (JsonKind::Array, (begin, 0)),
            JsonToken::Text(span) => (JsonKind::Text, span),
            JsonToken::Number(span) => (JsonKind::Number, span),
            JsonToken::Bool(is) => (if is { JsonKind::True } else { JsonKind::False }, (0, 0)),
            JsonToken::Null => (JsonKind::Null, (0, 0)),
            JsonToken::End => return self.close(false),
        };

        // A parent counts its elements or members.
        if kind != JsonKind::Name
            && let Some(parent) = self.open.last().and_then(|at| self.slots.get_mut(*at as usize))
        {
            parent.end += 1;
        }

        let at = offset(self.slots.len());
        if matches!(kind, JsonKind::Object | JsonKind::Array) {
            self.open.push(at);
            self.depth = self.depth.max(self.open.len());
        }
        self.slots.push(NodeSlot {
            begin: offset(span.0),
            end: offset(span.1),
            next: at + 1,
            kind,
            open: false,
        });
    }

    fn close(&mut self, open: bool) {
        let next = offset(self.slots.len());
        if let Some(slot) = self.open.pop().and_then(|at| self.slots.get_mut(at as usize)) {
            (slot.next, slot.open) = (next, open);
        }
    }

    fn cut(&mut self) {
        if self.slots.is_empty() {
            self.slots.push(NodeSlot {
                begin: 0,
                end: 0,
                next: 1,
                kind: JsonKind::Text,
                open: true,
            });
        }
        // A name whose value was not read is none.
        if self.slots.last().is_some_and(|slot| slot.kind == JsonKind::Name) {
            self.slots.pop();
        }
        while !self.open.is_empty() {
            self.close(true);
        }
    }
}

/// Bodies are far smaller than this type allows.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A value of a document.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    doc: &'a Doc,
    at: u32,
}

impl<'a> Node<'a> {
    fn slot(&self) -> NodeSlot {
        self.doc.slots[self.at as usize]
    }

    #[must_use]
    pub fn kind(&self) -> JsonKind {
        self.slot().kind
    }

    /// Its number in the document.
    #[must_use]
    pub fn at(&self) -> u32 {
        self.at
    }

    /// Whether not all of it was read: an array, an object, or a text that is all there is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.slot().open
    }

    /// Elements of an array, members of an object; as many as were read.
    #[must_use]
    pub fn len(&self) -> usize {
        if matches!(self.kind(), JsonKind::Array | JsonKind::Object) {
            self.slot().end as usize
        } else {
            0
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn raw(&self) -> &'a [u8] {
        let NodeSlot { begin, end, .. } = self.slot();
        self.doc.body.get(begin as usize..end as usize).unwrap_or_default()
    }

    /// Bytes that it takes in the document, as far as it is one value.
    #[must_use]
    pub fn size(&self) -> usize {
        if matches!(self.kind(), JsonKind::Text | JsonKind::Number | JsonKind::Name) {
            self.raw().len()
        } else {
            0
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<JsonText<'a>> {
        matches!(self.kind(), JsonKind::Text | JsonKind::Name).then(|| text(self.raw()))
    }

    /// The bytes of a string or a name: they differ where texts that are not valid read alike.
    #[must_use]
    pub fn text_bytes(&self) -> Cow<'a, [u8]> {
        match self.kind() {
            JsonKind::Text | JsonKind::Name => text_bytes(self.raw()),
            _ => Cow::Borrowed(&[]),
        }
    }

    #[must_use]
    pub fn number(&self) -> Option<Number<'a>> {
        let text = std::str::from_utf8(self.raw()).ok()?;
        (self.kind() == JsonKind::Number).then(|| Number::new(text))
    }

    /// Elements, or members with their names.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        let NodeSlot { kind, next, .. } = self.slot();
        let end = if matches!(kind, JsonKind::Array | JsonKind::Object) { next } else { self.at };
        Children { doc: self.doc, at: self.at + 1, end, named: kind == JsonKind::Object }
    }

    /// The value itself, and all values in it.
    pub fn subtree(self) -> impl Iterator<Item = Node<'a>> {
        let all = (self.at..self.slot().next).map(move |at| Node { doc: self.doc, at });
        all.filter(|node| node.kind() != JsonKind::Name)
    }

    /// The members of all objects in it, and of itself, in the order in which their names stand.
    pub fn members_within(self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> {
        let all = (self.at..self.slot().next).map(move |at| Node { doc: self.doc, at });
        let names = all.filter(|node| node.kind() == JsonKind::Name);
        names.map(|name| (name, Node { doc: name.doc, at: name.at + 1 }))
    }

    /// Whether this is the name of a member.
    #[must_use]
    pub fn is_called(&self, name: impl AsRef<[u8]>) -> bool {
        let (raw, name) = (self.raw(), name.as_ref());
        if raw.contains(&b'\\') { *text_bytes(raw) == *name } else { raw == name }
    }
}

/// The elements of an array, or the members of an object with their names.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    doc: &'a Doc,
    at: u32,
    end: u32,
    named: bool,
}

impl<'a> Iterator for Children<'a> {
    type Item = (Option<Node<'a>>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let name = self.named.then_some(Node { doc: self.doc, at: self.at });
        let value = Node { doc: self.doc, at: self.at + u32::from(self.named) };
        self.at = value.slot().next;
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Bounds, Doc, JsonKind, Node, NodeSlot};

    const ALL: Bounds = Bounds { bytes: usize::MAX, nodes: usize::MAX };

    fn member<'a>(node: Node<'a>, name: &str) -> Option<Node<'a>> {
        node.children()
            .find(|(called, _)| called.is_some_and(|called| called.is_called(name)))
            .map(|(_, value)| value)
    }

    #[test]
    fn a_tree_has_what_the_text_has() {
        assert_eq!(size_of::<NodeSlot>(), 16);
        let body = Bytes::from_static(br#" {"a":[1,{"b":"x\n"},[]],"\u0063":true,"d":null} "#);
        let doc = Doc::read(&body, ALL).expect("JSON");
        let root = doc.root();
        assert_eq!((root.kind(), root.len(), root.is_open()), (JsonKind::Object, 3, false));
        let a = member(root, "a").expect("there");
        assert_eq!((a.kind(), a.len()), (JsonKind::Array, 3));
        let elements: Vec<JsonKind> = a.children().map(|(_, value)| value.kind()).collect();
        assert_eq!(elements, [JsonKind::Number, JsonKind::Object, JsonKind::Array]);
        let b = a.children().nth(1).and_then(|(_, value)| member(value, "b")).expect("there");
        assert_eq!(b.text().expect("a text").text, "x\n");
        assert_eq!(member(root, "c").map(|c| c.kind()), Some(JsonKind::True));
        assert_eq!(member(root, "d").map(|d| d.kind()), Some(JsonKind::Null));
        assert!(member(root, "e").is_none());

        let text = |node: Node<'_>| node.text().expect("a name").text.into_owned();
        let all: Vec<(String, JsonKind)> =
            root.members_within().map(|(name, value)| (text(name), value.kind())).collect();
        let named = |name: &str, kind| (name.to_owned(), kind);
        let expected = [
            named("a", JsonKind::Array),
            named("b", JsonKind::Text),
            named("c", JsonKind::True),
            named("d", JsonKind::Null),
        ];
        assert_eq!(all, expected);
        assert!(
            Doc::read(&Bytes::from_static(b"{"), ALL).is_err()
                && Doc::read(&Bytes::new(), ALL).is_err()
        );
    }

    #[test]
    fn what_was_cut_is_open_and_what_stands_before_is_there() {
        let body =
            Bytes::from(format!(r#"{{"ref":"main","n":123456,"list":[{}1]}}"#, "0,".repeat(1000)));
        for bytes in 1..body.len() {
            let Ok(doc) = Doc::read(&body, Bounds { bytes, ..ALL }) else {
                panic!("cut at {bytes}")
            };
            assert!(doc.root().is_open(), "{bytes}");
            let n = member(doc.root(), "n").and_then(|n| n.number().map(|n| n.text().to_owned()));
            assert!(n.is_none_or(|n| n == "123456"), "half a number at {bytes}");
        }
        let doc = Doc::read(&body, Bounds { nodes: 100, ..ALL }).expect("as far as it goes");
        assert!(doc.nodes() <= 100 && doc.root().is_open());
        assert_eq!(member(doc.root(), "ref").and_then(|r| r.text()).expect("there").text, "main");
        assert!(member(doc.root(), "list").expect("begun").is_open());
    }
}
