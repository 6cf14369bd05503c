//! Spells the names of fields in a head for peers to whom their case matters.

use meshloom_model::header_case::{HeaderCase, PreserveCase};

use crate::message::Fields;

/// How the names in one head are spelled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spelling<'m> {
    /// As the encoder writes them: in lower case.
    Lower,
    Proper,
    /// As in the message that goes on here. Names that it did not have: `proper_others`.
    Received {
        fields: &'m Fields,
        proper_others: bool,
    },
}

impl<'m> Spelling<'m> {
    /// What a message took along goes before what the connection does that it goes to.
    pub(crate) fn of(preserve: Option<PreserveCase>, fields: &'m Fields, case: HeaderCase) -> Self {
        match (preserve, case) {
            (Some(PreserveCase { proper_others, .. }), _) => Self::Received { fields, proper_others },
            (None, case) => Self::written(case),
        }
    }

    /// For a message that was made here.
    pub(crate) fn written(case: HeaderCase) -> Self {
        match case {
            HeaderCase::ProperWords => Self::Proper,
            HeaderCase::Lower | HeaderCase::Preserve(_) => Self::Lower,
        }
    }

    /// Spells the names in a head that is written. No name becomes longer or another, so the head says what it said.
    pub(crate) fn apply(self, head: &mut [u8]) {
        match self {
            Self::Lower => {}
            Self::Proper => each_name(head, proper),
            Self::Received { fields, proper_others } => {
                let received = sorted(fields);
                each_name(head, |name| match received.binary_search_by(|known| compare(known, name)) {
                    Ok(at) => copy(received.get(at).copied().unwrap_or_default(), name),
                    Err(_) if proper_others => proper(name),
                    Err(_) => {}
                });
            }
        }
    }
}

/// The names that were received, sorted so that finding one is cheap however many there are; of several spellings of a
/// name the first.
fn sorted(fields: &Fields) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = fields.received_names().collect();
    names.sort_by(|one, other| compare(one, other));
    names.dedup_by(|later, earlier| later.eq_ignore_ascii_case(earlier));
    names
}

fn compare(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
}

fn copy(from: &[u8], name: &mut [u8]) {
    name.iter_mut().zip(from).for_each(|(written, was)| *written = *was);
}

fn proper(name: &mut [u8]) {
    let mut begins_word = true;
    for byte in name {
        if begins_word {
            byte.make_ascii_uppercase();
        }
        begins_word = !byte.is_ascii_alphanumeric();
    }
}

/// Calls `spell` with the name of every field. The encoder writes no line end within a value.
fn each_name(head: &mut [u8], mut spell: impl FnMut(&mut [u8])) {
    for line in head.split_mut(|byte| *byte == b'\n').skip(1) {
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            spell(line.get_mut(..colon).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(spelling: Spelling<'_>, head: &str) -> String {
        let mut bytes = head.as_bytes().to_vec();
        spelling.apply(&mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_word_begins_behind_what_is_neither_letter_nor_digit() {
        let head = "GET /a:b HTTP/1.1\r\nx-a1b: c:d-e\r\nfoo$b#$are: x\r\n9x_y: z\r\n\r\n";
        let proper = "GET /a:b HTTP/1.1\r\nX-A1b: c:d-e\r\nFoo$B#$Are: x\r\n9x_Y: z\r\n\r\n";
        assert_eq!(spelled(Spelling::Proper, head), proper);
        assert_eq!(spelled(Spelling::Lower, head), head);
    }

    #[test]
    fn names_stay_as_the_first_line_of_them_came_also_of_lines_that_do_not_go_on() {
        let fields =
            Fields::received("GET / HTTP/1.1\r\nHOST: a\r\nconnecTION: close\r\nX-Ab: 1\r\nx-aB: 2\r\n\r\n");
        let head = "GET / HTTP/1.1\r\nhost: a\r\nx-ab: 1\r\nx-ab: 2\r\nconnection: close\r\nx-abc: 3\r\n\r\n";
        let kept = "GET / HTTP/1.1\r\nHOST: a\r\nX-Ab: 1\r\nX-Ab: 2\r\nconnecTION: close\r\n";
        for (proper_others, last) in [(false, "x-abc: 3\r\n\r\n"), (true, "X-Abc: 3\r\n\r\n")] {
            let spelling = Spelling::Received { fields: &fields, proper_others };
            assert_eq!(spelled(spelling, head), format!("{kept}{last}"));
        }
    }

    #[test]
    fn what_a_message_took_along_goes_before_what_its_connection_does() {
        let fields = Fields::default();
        let preserve = Some(PreserveCase::default());
        let spelling = |preserve, case| Spelling::of(preserve, &fields, case);

        assert!(matches!(spelling(preserve, HeaderCase::ProperWords), Spelling::Received { .. }));
        assert!(matches!(spelling(None, HeaderCase::ProperWords), Spelling::Proper));
        let reads = HeaderCase::Preserve(PreserveCase::default());
        assert!(matches!(spelling(None, reads), Spelling::Lower), "it is about what is read there");
    }
}
