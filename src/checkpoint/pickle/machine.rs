//! The stack machine that a pickle is a program of, with the few opcodes that tensors need.

use std::collections::BTreeMap;

use super::{Id, Storage, TensorLayout, Value};

/// Longer ones name no tensor and no file: what is copied for each use stays small.
const LONGEST_TEXT: usize = 256;
/// Axes of a tensor.
const MOST_AXES: usize = 8;

/// What has been read of a pickle so far.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// All values, in the order they were made.
    pub values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let (values, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, at: 0, values, stack, marks, memo: BTreeMap::new() }
    }

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
        if len > LONGEST_TEXT {
            return Err(format!("expected names of at most {LONGEST_TEXT} bytes, found one of {len}"));
        }
        let line = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.at += len + 1;
        Ok(line)
    }

    fn text(&mut self, len: usize) -> Result<Value, String> {
        if len > LONGEST_TEXT {
            return Err(format!("expected texts of at most {LONGEST_TEXT} bytes, found one of {len}"));
        }
        Ok(Value::Text(String::from_utf8_lossy(self.take(len)?).into_owned()))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    /// The value on top, taken off.
    ///
    /// # Errors
    /// No value left.
    pub fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "it takes more values than it has".to_owned())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "it takes more values than it has".to_owned())
    }

    /// The values above the last mark.
    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
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
    ///
    /// # Errors
    /// An opcode that is cut off, lacks its values or makes something other than tensors, numbers and texts.
    pub fn step(&mut self) -> Result<bool, String> {
        match self.number::<1>()?[0] {
            b'.' => return Ok(false),
            0x80 => drop(self.number::<1>()?),
            0x95 => drop(self.number::<8>()?),
            // The state of an object: of those that are made here none has one that counts.
            b'b' => drop(self.pop()?),
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            opcode => {
                if !self.plain(opcode)? && !self.collection(opcode)? && !self.reference(opcode)? {
                    return Err(format!(
                        "expected tensors, numbers and texts, found the opcode {opcode:#04x}"
                    ));
                }
            }
        }
        Ok(true)
    }

    /// Puts a number or a text on the stack. -> was this the opcode of one?
    fn plain(&mut self, opcode: u8) -> Result<bool, String> {
        let value = match opcode {
            b'N' => Value::Nothing,
            0x88 => Value::Int(1),
            0x89 => Value::Int(0),
            b'K' => Value::Int(i64::from(u8::from_le_bytes(self.number()?))),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.number()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.number()?))),
            0x8a => self.long()?,
            b'G' => Value::Float(f64::from_be_bytes(self.number()?)),
            0x8c => {
                let [len] = self.number()?;
                self.text(usize::from(len))?
            }
            b'X' => {
                let len = u32::from_le_bytes(self.number()?);
                self.text(len as usize)?
            }
            _ => return Ok(false),
        };
        self.push(value);
        Ok(true)
    }

    /// Begins or fills a tuple, a list or a dictionary. -> was this the opcode of one?
    fn collection(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | b')' => self.push(Value::Items(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Items(items));
            }
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                let start = start.ok_or("it takes more values than it has")?;
                let items = self.stack.split_off(start);
                self.push(Value::Items(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?;
            }
            b'u' => {
                let pairs = self.since_mark()?;
                self.set(&pairs)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Names a value that was there before, or a class or function. -> was this such an opcode?
    fn reference(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
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
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A whole number of as many bytes as it says, lowest first.
    fn long(&mut self) -> Result<Value, String> {
        let [len] = self.number()?;
        let bytes = self.take(usize::from(len))?;
        if bytes.len() > 8 {
            return Err("expected whole numbers of 64 bits, found a longer one".to_owned());
        }
        let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::Items(held) => held.extend(items),
            _ => return Err("it puts items into something other than a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(held) => {
                held.extend(pairs.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)));
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
        let items = self.items(id);
        if items.len() > MOST_AXES {
            return Err(format!("expected tensors of at most {MOST_AXES} axes, found {}", items.len()));
        }
        items.iter().map(|id| self.size(*id)).collect()
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
                let layout = TensorLayout {
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
