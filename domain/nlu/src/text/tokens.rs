//! Tokens of a normalised text: words, numbers and marks.

use jangbogo_lexicon::hangul::is_hangul;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word of any script but Hangul.
    Word,
    /// Hangul between two spaces.
    Hangul,
    /// Digits, with a point or commas.
    Number,
    /// A character that is none of these.
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    /// True after a space.
    pub spaced: bool,
}

/// Divides a normalised text into tokens. An apostrophe belongs to its word.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::with_capacity(text.len() / 4 + 4);
    let mut characters = text.char_indices().peekable();
    let mut spaced = true;
    while let Some((start, character)) = characters.next() {
        if character != '\n' && character.is_whitespace() {
            spaced = true;
            continue;
        }
        let kind = kind_of(character);
        let mut end = start + character.len_utf8();
        while let Some(&(at, next)) = characters.peek() {
            let after = text[at + next.len_utf8()..].chars().next();
            if !continues(kind, next, after) {
                break;
            }
            end = at + next.len_utf8();
            characters.next();
        }
        tokens.push(Token { kind, text: &text[start..end], spaced });
        spaced = false;
    }
    tokens
}

fn kind_of(character: char) -> Kind {
    match character {
        _ if is_hangul(character) => Kind::Hangul,
        _ if character.is_ascii_digit() => Kind::Number,
        _ if character.is_alphanumeric() => Kind::Word,
        _ => Kind::Mark,
    }
}

/// True if a token of this kind continues with the next character, which is followed by `after`.
fn continues(kind: Kind, next: char, after: Option<char>) -> bool {
    match kind {
        Kind::Hangul => is_hangul(next),
        Kind::Number => {
            next.is_ascii_digit() || matches!(next, '.' | ',') && after.is_some_and(|after| after.is_ascii_digit())
        }
        Kind::Word => {
            next.is_alphanumeric() && !is_hangul(next)
                || next == '\'' && after.is_some_and(|after| after.is_alphabetic() && !is_hangul(after))
        }
        Kind::Mark => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_marks_are_separate_tokens() {
        let actual: Vec<_> = tokens("i don't want 1,200.50 t-lights, retrospot가방 3파운드!")
            .into_iter()
            .map(|token| (token.text, token.spaced))
            .collect();
        let expected = [
            ("i", true),
            ("don't", true),
            ("want", true),
            ("1,200.50", true),
            ("t", true),
            ("-", false),
            ("lights", false),
            (",", false),
            ("retrospot", true),
            ("가방", false),
            ("3", true),
            ("파운드", false),
            ("!", false),
        ];
        assert_eq!(actual, expected);
        assert_eq!(tokens("30cm").len(), 2);
        assert_eq!(tokens("  "), []);
    }
}
