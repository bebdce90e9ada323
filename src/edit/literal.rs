//! Changing a `|` block line by line: untouched lines keep their bytes.

use super::doc::{Doc, unsupported};
use super::emit::fits_literal;
use crate::code::{Code, Refusal};
use crate::manifest::Node;

/// A block as it stands in the file.
struct Block<'d> {
    /// The header token, `|2-`.
    header: &'d str,
    /// What follows it on its line, a comment perhaps.
    tail: &'d str,
    /// The content lines as written, without line endings or trailing blank lines.
    raw: Vec<&'d str>,
    eol: &'static str,
}

/// The new text of a literal block for a new value; none when it cannot stay a block.
/// `parent` is the column that an indentation digit counts from.
pub(super) fn rewrite(
    doc: &Doc<'_>,
    node: &Node,
    new: &str,
    parent: usize,
) -> Result<Option<String>, Refusal> {
    let old = node.text().unwrap_or_default();
    if is_blank(old) || is_blank(new) || !new.chars().all(fits_literal) {
        return Ok(None);
    }
    let block = Block::read(doc, node);
    let (old_lines, new_lines) = (lines(old), lines(new));
    let indent = block.indent(parent)?;
    if !block.matches(&old_lines, indent) {
        return Err(unsupported(
            "the lines of the block do not match its value one by one",
        ));
    }
    let first = new_lines.iter().find(|l| !l.is_empty());
    if block.digit().is_none() && first.is_some_and(|l| l.starts_with(' ')) {
        return Err(unsupported(
            "the first line would start with a space, which needs an indentation digit",
        ));
    }
    let kept = common(&old_lines, &new_lines);
    let (from, to) = (kept.0, old_lines.len() - kept.1);
    let touched = block.raw.get(from..to).unwrap_or_default();
    if touched.iter().any(|l| l.contains("{{") || l.contains("${")) {
        return Err(Refusal::new(
            Code::Templated,
            "a changed line of the text holds a template expression",
        ));
    }
    let mut out: Vec<String> = Vec::new();
    out.extend(block.raw.iter().take(from).map(|l| (*l).to_owned()));
    let fresh = new_lines
        .get(from..new_lines.len() - kept.1)
        .unwrap_or_default();
    out.extend(fresh.iter().map(|l| {
        if l.is_empty() {
            String::new()
        } else {
            format!("{}{l}", " ".repeat(indent))
        }
    }));
    out.extend(block.raw.iter().skip(to).map(|l| (*l).to_owned()));
    let (chomp, blank_lines) = chomping(doc, node, &block, old, new)?;
    out.extend(std::iter::repeat_n(String::new(), blank_lines));
    let header = format!(
        "{}{chomp}{}",
        block.header.replace(['-', '+'], ""),
        block.tail
    );
    Ok(Some(format!(
        "{header}{}{}",
        block.eol,
        out.join(block.eol)
    )))
}

impl<'d> Block<'d> {
    fn read(doc: &Doc<'d>, node: &Node) -> Self {
        let text = doc.text.get(node.start..node.end).unwrap_or_default();
        let (first, body) = text.split_once('\n').unwrap_or((text, ""));
        let eol = if first.ends_with('\r') { "\r\n" } else { "\n" };
        let first = first.trim_end_matches('\r');
        let at = first.find([' ', '\t', '#']).unwrap_or(first.len());
        let (header, tail) = first.split_at(at);
        let mut raw: Vec<&str> = body.split('\n').map(|l| l.trim_end_matches('\r')).collect();
        if header.contains('+') {
            while raw.last().is_some_and(|l| l.is_empty()) {
                raw.pop();
            }
        }
        Self {
            header,
            tail,
            raw,
            eol,
        }
    }

    fn digit(&self) -> Option<usize> {
        self.header
            .chars()
            .find_map(|c| c.to_digit(10))
            .map(|d| d as usize)
    }

    fn indent(&self, parent: usize) -> Result<usize, Refusal> {
        if let Some(digit) = self.digit() {
            return Ok(parent + digit);
        }
        let first = self.raw.iter().find(|l| !l.trim().is_empty());
        let spaces = |l: &&str| l.len() - l.trim_start_matches(' ').len();
        first
            .map(spaces)
            .ok_or_else(|| unsupported("the block has no lines"))
    }

    fn matches(&self, old: &[&str], indent: usize) -> bool {
        let same = |(raw, line): (&&str, &&str)| match raw.get(indent..) {
            Some(content) if raw.is_char_boundary(indent) => {
                content == *line && raw.starts_with(&" ".repeat(indent))
            }
            _ => line.is_empty() && raw.trim_matches(' ').is_empty(),
        };
        self.raw.len() == old.len() && self.raw.iter().zip(old).all(same)
    }
}

/// The chomping indicator for the new value, and how many blank lines end the block.
fn chomping(
    doc: &Doc<'_>,
    node: &Node,
    block: &Block<'_>,
    old: &str,
    new: &str,
) -> Result<(&'static str, usize), Refusal> {
    let breaks = |text: &str| text.len() - text.trim_end_matches('\n').len();
    let (had, wanted) = (breaks(old), breaks(new));
    let at_end = node.end >= doc.text.len();
    let current = match block.header {
        h if h.contains('+') => "+",
        h if h.contains('-') => "-",
        _ => "",
    };
    if at_end && wanted > 0 && !doc.text.ends_with('\n') {
        return Err(Refusal::new(
            Code::NotVerifiable,
            "the text is the last thing in a file without a final line break, so it cannot end in one",
        ));
    }
    match wanted {
        _ if wanted == had && current != "+" => Ok((current, 0)),
        0 => Ok(("-", 0)),
        _ if current == "+" => Ok(("+", wanted - 1)),
        1 => Ok(("", 0)),
        _ if blank_follows(doc, node.end) => Err(unsupported(
            "blank lines follow the block, and would become part of its text",
        )),
        _ => Ok(("+", wanted - 1)),
    }
}

fn blank_follows(doc: &Doc<'_>, end: usize) -> bool {
    let rest = doc.text.get(end..).unwrap_or_default();
    rest.split('\n').nth(1).is_some_and(|l| l.trim().is_empty())
        && rest.trim_matches(['\r', '\n']).len() + 2 < rest.len()
}

fn is_blank(text: &str) -> bool {
    text.trim_matches('\n').is_empty()
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_end_matches('\n').split('\n').collect()
}

/// How many lines are the same at the start and at the end.
fn common(old: &[&str], new: &[&str]) -> (usize, usize) {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(most)
        .take_while(|(a, b)| a == b)
        .count();
    (head, tail)
}
