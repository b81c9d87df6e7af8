//! Blocks of ClickHouse's Native format, written without the core. The benches use this file too.

/// The values of one column of a block.
#[derive(Debug, Clone)]
pub enum Values {
    U8(Vec<u8>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    Text(Vec<Vec<u8>>),
    U32s(Vec<Vec<u32>>),
    U64s(Vec<Vec<u64>>),
    Packed(Vec<[u8; 24]>),
}

impl Values {
    fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "UInt8",
            Self::U32(_) => "UInt32",
            Self::U64(_) => "UInt64",
            Self::I64(_) => "Int64",
            Self::Text(_) => "String",
            Self::U32s(_) => "Array(UInt32)",
            Self::U64s(_) => "Array(UInt64)",
            Self::Packed(_) => "FixedString(24)",
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::U32s(values) => values.len(),
            Self::U64s(values) => values.len(),
            Self::Packed(values) => values.len(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(values) => out.extend(values),
            Self::U32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::U64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::I64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::Text(values) => values.iter().for_each(|value| put_string(out, value)),
            Self::Packed(values) => out.extend(values.iter().flatten()),
            Self::U32s(values) => {
                put_offsets(out, values);
                let elements = values.iter().flatten();
                out.extend(elements.flat_map(|value| value.to_le_bytes()));
            }
            Self::U64s(values) => {
                put_offsets(out, values);
                let elements = values.iter().flatten();
                out.extend(elements.flat_map(|value| value.to_le_bytes()));
            }
        }
    }
}

fn put_offsets<T>(out: &mut Vec<u8>, arrays: &[Vec<T>]) {
    let mut end = 0_u64;
    for array in arrays {
        end += array.len() as u64;
        out.extend(end.to_le_bytes());
    }
}

pub fn put_varuint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value.to_le_bytes()[0] | 128);
        value /= 128;
    }
    out.push(value.to_le_bytes()[0]);
}

pub fn put_string(out: &mut Vec<u8>, value: &[u8]) {
    put_varuint(out, value.len() as u64);
    out.extend(value);
}

/// One block.
pub fn block(columns: &[(&str, Values)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varuint(&mut out, columns.len() as u64);
    put_varuint(
        &mut out,
        columns.first().map_or(0, |(_, values)| values.len() as u64),
    );
    for (name, values) in columns {
        put_string(&mut out, name.as_bytes());
        put_string(&mut out, values.type_name().as_bytes());
        values.put(&mut out);
    }
    out
}
