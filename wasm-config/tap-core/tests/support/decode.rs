//! A strict reader of the messages: anything that a protobuf parser would refuse is a panic.

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub node: Vec<u8>,
    pub vm: String,
    pub sequence: u64,
    pub totals: Totals,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    pub streams: u64,
    pub ends: u64,
    pub ends_sealed: u64,
    pub drops: Vec<[u64; 4]>,
    pub abandoned: Vec<[u64; 4]>,
    pub batches_abandoned: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    pub stream: u64,
    pub request_id: Vec<u8>,
    pub start_us: i64,
    pub downstream: String,
    pub index: u64,
    pub level: u64,
    pub rule: String,
    /// Request headers, request trailers, response headers, response trailers.
    pub blocks: [Option<(Vec<u8>, u64)>; 4],
    pub runs: Vec<Run>,
    /// Direction, offset and bytes.
    pub tails: Vec<(u64, u64, Vec<u8>)>,
    pub end: Option<[u64; 8]>,
    pub principal: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub direction: u64,
    pub offset: u64,
    pub data: Vec<u8>,
    pub lengths: Vec<u64>,
    pub times_us: Vec<u64>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self) -> u64 {
        let Value::Number(number) = self else { panic!("expected a number") };
        number
    }
    fn bytes(self) -> &'a [u8] {
        let Value::Bytes(bytes) = self else { panic!("expected bytes") };
        bytes
    }
    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("a string must be UTF-8")
    }
    fn numbers(self) -> Vec<u64> {
        let mut rest = self.bytes();
        let mut numbers = Vec::new();
        while !rest.is_empty() {
            numbers.push(varint(&mut rest));
        }
        numbers
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().expect("a varint breaks off");
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return number;
        }
    }
    panic!("a varint is too long")
}

fn fields<'a>(mut rest: &'a [u8]) -> Vec<(u64, Value<'a>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut rest)),
            2 => {
                let size = varint(&mut rest) as usize;
                let (bytes, behind) = rest.split_at(size);
                rest = behind;
                Value::Bytes(bytes)
            }
            wire => panic!("wire type {wire}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

pub fn batch(bytes: &[u8]) -> Batch {
    let mut batch = Batch::default();
    for (field, value) in fields(bytes) {
        match field {
            1 => batch.node = value.bytes().to_vec(),
            2 => batch.vm = value.text(),
            3 => batch.sequence = value.number(),
            4 => batch.totals = totals(value.bytes()),
            5 => batch.parts.push(part(value.bytes())),
            _ => panic!("Batch has no field {field}"),
        }
    }
    batch
}

fn numbers<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut numbers = [0; N];
    fields(bytes).into_iter().for_each(|(field, value)| numbers[field as usize - 1] = value.number());
    numbers
}

fn totals(bytes: &[u8]) -> Totals {
    let mut totals = Totals::default();
    for (field, value) in fields(bytes) {
        match field {
            1 => totals.streams = value.number(),
            2 => totals.ends = value.number(),
            3 => totals.ends_sealed = value.number(),
            4 => totals.drops.push(numbers(value.bytes())),
            5 => totals.abandoned.push(numbers(value.bytes())),
            6 => totals.batches_abandoned = value.number(),
            _ => panic!("Totals has no field {field}"),
        }
    }
    totals
}

fn part(bytes: &[u8]) -> Part {
    let mut part = Part::default();
    for (field, value) in fields(bytes) {
        match field {
            1 => part.stream = value.number(),
            2 => part.request_id = value.bytes().to_vec(),
            3 => part.start_us = value.number() as i64,
            4 => part.downstream = value.text(),
            5 => part.index = value.number(),
            6 => part.level = value.number(),
            7 => part.rule = value.text(),
            8..=11 => part.blocks[field as usize - 8] = Some(headers(value.bytes())),
            12 => part.runs.push(run(value.bytes())),
            13 => part.end = Some(numbers(value.bytes())),
            14 => part.principal = value.text(),
            15 | 16 => part.tails.push(tail(field - 15, value.bytes())),
            _ => panic!("Part has no field {field}"),
        }
    }
    part
}

fn tail(direction: u64, bytes: &[u8]) -> (u64, u64, Vec<u8>) {
    let mut tail = (direction, 0, Vec::new());
    for (field, value) in fields(bytes) {
        match field {
            1 => tail.1 = value.number(),
            2 => tail.2 = value.bytes().to_vec(),
            _ => panic!("Tail has no field {field}"),
        }
    }
    tail
}

fn headers(bytes: &[u8]) -> (Vec<u8>, u64) {
    let mut headers = (Vec::new(), 0);
    for (field, value) in fields(bytes) {
        match field {
            1 => headers.0 = value.bytes().to_vec(),
            2 => headers.1 = value.number(),
            _ => panic!("Headers has no field {field}"),
        }
    }
    headers
}

fn run(bytes: &[u8]) -> Run {
    let mut run = Run::default();
    for (field, value) in fields(bytes) {
        match field {
            1 => run.direction = value.number(),
            2 => run.offset = value.number(),
            3 => run.data = value.bytes().to_vec(),
            4 => run.lengths = value.numbers(),
            5 => run.times_us = value.numbers(),
            _ => panic!("Run has no field {field}"),
        }
    }
    assert_eq!(run.lengths.len(), run.times_us.len());
    run
}

/// The labels of an encoded node.
pub fn labels(node: &[u8]) -> usize {
    fields(node).into_iter().filter(|(field, _)| *field == 5).count()
}
