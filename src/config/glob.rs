//! Names with `*`. Pure.

/// Whether a text fits a pattern in which `*` stands for any text, the empty one included. Linear
/// in memory, and at most the product of both lengths in time.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // where to go on when what was tried does not fit: behind the last star, one byte further
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if text.get(t) == Some(byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                retry = Some((star, from + 1));
                (p, t) = (star, from + 1);
            }
        }
    }
    pattern
        .get(p..)
        .is_none_or(|rest| rest.iter().all(|b| *b == b'*'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::glob;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, wanted) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop*", "shop", true),
            ("*-prod", "eu-prod", true),
            ("*-prod", "eu-prod2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("apps/*/web.yaml", "apps/x/y/web.yaml", true),
            ("sh?p", "shop", false),
            ("S*", "shop", false),
        ] {
            assert_eq!(glob(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!glob(
            &"a*".repeat(200),
            &("a".repeat(5000) + "b").replace('a', "c")
        ));
        assert!(!glob(&("*a".repeat(100) + "b"), &"a".repeat(5000)));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_regular_expression(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let re = format!("^{}$", pattern.replace('*', ".*"));
            prop_assert_eq!(glob(&pattern, &text), regex::Regex::new(&re).unwrap().is_match(&text));
        }
    }
}
