//! What `torch.save` pickles of a dictionary of tensors and numbers, and nothing else: nothing is executed, and a file that
//! nests, shares or repeats without end costs no more than its bytes.
//!
//! Values lie in one list and name each other by number, so that sharing one copies nothing and letting go of a deep one
//! calls nothing. Opcodes are those of Python's `pickletools`, protocols 2 to 5.

use std::collections::BTreeMap;

/// The number of a value.
type Id = usize;

/// Longer pickles hold something else: that of K latents has some hundred bytes and a few more for each.
pub const MOST_BYTES: usize = 1 << 20;

/// A value of the pickle.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None, or what a call that is of no account gives.
    Nothing,
    /// A truth value or a whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A class or function, as `torch._utils._rebuild_tensor_v2`.
    Global(String),
    /// A tuple or a list.
    Items(Vec<Id>),
    /// A dictionary, as keys and values came.
    Dict(Vec<(Id, Id)>),
    /// A tensor's values: their type and the name of their file.
    Storage(Storage),
    /// A tensor.
    Tensor(Layout),
}

/// Values of a tensor in a file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// As torch calls it: `FloatStorage`.
    pub kind: String,
    /// Its file's name.
    pub key: String,
    /// Values in it.
    pub count: usize,
}

/// Where the values of a tensor are in a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Where they are.
    pub storage: Storage,
    /// Values before the first.
    pub offset: usize,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values between neighbours along each axis.
    pub strides: Vec<usize>,
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// Reads one; a sentence where it is none, or holds something other than tensors, numbers and texts.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST_BYTES {
            return Err(format!("expected at most {MOST_BYTES} bytes of pickle, found {}", bytes.len()));
        }
        let mut machine = Machine {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { values: machine.values, root })
    }

    /// A value.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// The entries of the dictionary that the pickle is, by their names.
    pub fn entries(&self) -> Option<BTreeMap<&str, &Value>> {
        let Value::Dict(entries) = &self.values[self.root] else { return None };
        let named = entries.iter().filter_map(|(key, value)| match &self.values[*key] {
            Value::Text(name) => Some((name.as_str(), &self.values[*value])),
            _ => None,
        });
        Some(named.collect())
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("it ends in the middle of a value")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("as many as asked for"))
    }

    /// Up to the end of the line.
    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("it ends in the middle of a name")?;
        let line = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.at += len + 1;
        Ok(line)
    }

    fn text(&mut self, len: usize) -> Result<Value, String> {
        Ok(Value::Text(String::from_utf8_lossy(self.take(len)?).into_owned()))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "it takes more values than it has".to_owned())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "it takes more values than it has".to_owned())
    }

    /// The values above the last mark.
    fn to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("it has no mark where one is needed")?))
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let id = self.memo.get(&place).ok_or("it recalls what it never remembered")?;
        self.stack.push(*id);
        Ok(())
    }

    /// One opcode. -> is there more?
    fn step(&mut self) -> Result<bool, String> {
        match self.number::<1>()?[0] {
            b'.' => return Ok(false),
            0x80 => drop(self.number::<1>()?),
            0x95 => drop(self.number::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::Nothing),
            0x88 => self.push(Value::Int(1)),
            0x89 => self.push(Value::Int(0)),
            b'K' => {
                let [n] = self.number()?;
                self.push(Value::Int(i64::from(n)));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.number()?);
                self.push(Value::Int(i64::from(n)));
            }
            b'J' => {
                let n = i32::from_le_bytes(self.number()?);
                self.push(Value::Int(i64::from(n)));
            }
            0x8a => self.long()?,
            b'G' => {
                let n = f64::from_be_bytes(self.number()?);
                self.push(Value::Float(n));
            }
            0x8c => {
                let [len] = self.number()?;
                let text = self.text(usize::from(len))?;
                self.push(text);
            }
            b'X' => {
                let len = u32::from_le_bytes(self.number()?);
                let text = self.text(len as usize)?;
                self.push(text);
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' => self.push(Value::Items(Vec::new())),
            b't' => {
                let items = self.to_mark()?;
                self.push(Value::Items(items));
            }
            count @ 0x85..=0x87 => {
                let count = usize::from(count - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or("it takes more values than it has")?;
                let items = self.stack.split_off(start);
                self.push(Value::Items(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let pairs = self.to_mark()?;
                self.set(pairs)?;
            }
            b'q' => {
                let [place] = self.number()?;
                self.remember(u32::from(place))?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.number()?);
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [place] = self.number()?;
                self.recall(u32::from(place))?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.number()?);
                self.recall(place)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name])
                else {
                    return Err("it names a function by something other than texts".to_owned());
                };
                let name = format!("{module}.{name}");
                self.push(Value::Global(name));
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            // The state of an object: of those that are made here none has one that counts.
            b'b' => drop(self.pop()?),
            other => {
                return Err(format!("expected tensors, numbers and texts, found the opcode {other:#04x}"));
            }
        }
        Ok(true)
    }

    /// A whole number of as many bytes as it says, lowest first.
    fn long(&mut self) -> Result<(), String> {
        let [len] = self.number()?;
        let bytes = self.take(usize::from(len))?;
        if bytes.len() > 8 {
            return Err("expected whole numbers of 64 bits, found a longer one".to_owned());
        }
        let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::Items(held) => held.extend(items),
            _ => return Err("it puts items into something other than a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<Id>) -> Result<(), String> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(held) => {
                held.extend(pairs.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)))
            }
            _ => return Err("it puts entries into something other than a dictionary".to_owned()),
        }
        Ok(())
    }

    fn items(&self, id: Id) -> &[Id] {
        match &self.values[id] {
            Value::Items(items) => items,
            _ => &[],
        }
    }

    fn size(&self, id: Id) -> Result<usize, String> {
        match &self.values[id] {
            Value::Int(n) => usize::try_from(*n).map_err(|_negative| format!("expected a size, found {n}")),
            _ => Err("expected a size, found something else".to_owned()),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, String> {
        self.items(id).iter().map(|id| self.size(*id)).collect()
    }

    /// `("storage", torch.FloatStorage, "0", "cpu", 256)`.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let &[_, kind, key, _, count, ..] = self.items(id) else {
            return Err("it refers to something other than a tensor's values".to_owned());
        };
        let (Value::Global(kind), Value::Text(key)) = (&self.values[kind], &self.values[key]) else {
            return Err("it refers to something other than a tensor's values".to_owned());
        };
        let kind = kind.rsplit('.').next().unwrap_or_default().to_owned();
        let storage = Storage { kind, key: key.clone(), count: self.size(count)? };
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// A call, of the few that tensors are made by.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(name) = &self.values[function] else {
            return Err("it calls something other than a function".to_owned());
        };
        let arguments = self.items(arguments);
        match (name.as_str(), arguments) {
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                &[storage, offset, shape, strides, ..],
            ) => {
                let Value::Storage(storage) = &self.values[storage] else {
                    return Err("it makes a tensor of something other than values".to_owned());
                };
                let layout = Layout {
                    storage: storage.clone(),
                    offset: self.size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                self.push(Value::Tensor(layout));
            }
            ("torch._utils._rebuild_parameter", &[tensor, ..]) => self.stack.push(tensor),
            ("collections.OrderedDict", []) => self.push(Value::Dict(Vec::new())),
            // Hooks of a tensor, which are none.
            ("collections.OrderedDict", _) => self.push(Value::Nothing),
            (name, _) => return Err(format!("expected tensors, numbers and texts, found a call of {name}")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.save({"token_ids": [5, 300], "latent_rows": tensor of [2, 3]})`, by protocol.
    fn saved(protocol: u8) -> Vec<u8> {
        let text = |text: &str| match protocol {
            2 => [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat(),
            _ => [&[0x8c, text.len() as u8], text.as_bytes()].concat(),
        };
        let global = |module: &str, name: &str| match protocol {
            2 => format!("c{module}\n{name}\n").into_bytes(),
            _ => [text(module), text(name), vec![0x93]].concat(),
        };
        let frame = if protocol == 2 { Vec::new() } else { [&[0x95][..], &[0; 8]].concat() };
        [
            &[0x80, protocol][..],
            &frame,
            b"}q\x00(",
            &text("token_ids"),
            b"]q\x01(K\x05M\x2c\x01e",
            &text("latent_rows"),
            &global("torch._utils", "_rebuild_tensor_v2"),
            b"((",
            &text("storage"),
            &global("torch", "FloatStorage"),
            &text("0"),
            &text("cpu"),
            b"K\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89",
            &global("collections", "OrderedDict"),
            b")RtRu.",
        ]
        .concat()
    }

    #[test]
    fn a_dictionary_of_a_tensor_and_numbers_is_read() {
        for protocol in [2, 4] {
            let bytes = saved(protocol);
            let pickle = Pickle::read(&bytes).unwrap();
            let entries = pickle.entries().unwrap();
            let Value::Items(ids) = entries["token_ids"] else { panic!("a list") };
            let ids: Vec<&Value> = ids.iter().map(|id| pickle.value(*id)).collect();
            assert_eq!(ids, [&Value::Int(5), &Value::Int(300)]);
            let storage = Storage { kind: "FloatStorage".to_owned(), key: "0".to_owned(), count: 6 };
            let layout = Layout { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] };
            assert_eq!(entries["latent_rows"], &Value::Tensor(layout));
            for cut in 0..bytes.len() {
                assert!(Pickle::read(&bytes[..cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn hostile_pickles_cost_no_more_than_their_bytes() {
        // Nested as deep as there are bytes; a list of ten of the list before, over and over.
        let nested = [&[0x80, 2, b'N'][..], &vec![0x85; MOST_BYTES - 4], b"."].concat();
        assert!(Pickle::read(&nested).unwrap().entries().is_none());
        let mut shared = vec![0x80, 2, b']', b'q', 0];
        for level in 1..=200u8 {
            shared.extend([b']', b'q', level, b'(']);
            (0..10).for_each(|_| shared.extend([b'h', level - 1]));
            shared.push(b'e');
        }
        shared.push(b'.');
        assert!(Pickle::read(&shared).unwrap().entries().is_none());
        for (bytes, said) in [
            (&b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..], "found a call of os.system"),
            (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "found a call of torch._utils"),
            (b"\x80\x02R.", "more values than it has"),
            (b"\x80\x02e.", "no mark"),
            (b"\x80\x02h\x07.", "never remembered"),
            (b"\x80\x02\x8a\xff", "in the middle"),
            (b"\x80\x02K\x05Q.", "something other than a tensor's values"),
            (b"i", "opcode 0x69"),
            (b"", "in the middle"),
        ] {
            let problem = Pickle::read(bytes).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
        assert!(Pickle::read(&vec![b'N'; MOST_BYTES + 1]).unwrap_err().contains("at most"));
    }
}
