//! What the two programs have in common: questions on standard input, answers on standard output.

use std::io::{self, Read, Write};

use serde_json::Value;

/// Answers each question, which begins with a byte for the role, by a line with an array of events.
pub(crate) fn serve<R: Read>(
    mut input: R,
    answer: impl Fn(u8, &mut R) -> io::Result<Vec<Value>>,
) -> io::Result<()> {
    let mut output = io::stdout().lock();
    while let Some(role) = read_byte(&mut input)? {
        writeln!(output, "{}", Value::Array(answer(role, &mut input)?))?;
        output.flush()?;
    }
    Ok(())
}

/// `None` at the end of the input.
pub(crate) fn read_byte(input: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((input.read(&mut byte)? == 1).then_some(byte[0]))
}

/// Hands each piece of a connection to `feed`.
pub(crate) fn read_pieces(input: &mut impl Read, mut feed: impl FnMut(&[u8])) -> io::Result<()> {
    for _ in 0..read_number(input)? {
        let mut piece = vec![0; read_number(input)? as usize];
        input.read_exact(&mut piece)?;
        feed(&piece);
    }
    Ok(())
}

fn read_number(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

pub(crate) fn pairs(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<[String; 2]> {
    fields.iter().map(|(name, value)| [text(name), text(value)]).collect()
}

/// Each byte as a character.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
