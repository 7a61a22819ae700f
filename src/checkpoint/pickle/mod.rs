//! What `torch.save` pickles of a dictionary of tensors and numbers, and nothing else: nothing is executed, and a file that
//! nests, shares or repeats without end costs no more than its bytes.
//!
//! Values lie in one list and name each other by number, so that sharing one copies nothing and letting go of a deep one
//! calls nothing. Opcodes are those of Python's `pickletools`, protocols 2 to 5.

mod machine;

use std::collections::BTreeMap;

use machine::Machine;

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
    Tensor(TensorLayout),
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
pub struct TensorLayout {
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
    ///
    /// # Errors
    /// Bytes that are too many, are cut off or hold anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST_BYTES {
            return Err(format!("expected at most {MOST_BYTES} bytes of pickle, found {}", bytes.len()));
        }
        let mut machine = Machine::new(bytes);
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
            let layout = TensorLayout { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] };
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
