//! Git objects in memory, with Git's own ids.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who wrote a commit, and when (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub email: String,
    pub at: jiff::Timestamp,
}

impl Signature {
    fn line(&self) -> String {
        format!(
            "{} <{}> {} +0000",
            self.name,
            self.email,
            self.at.as_second()
        )
    }
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub tree: String,
    pub parents: Vec<String>,
    pub author: Signature,
    pub committer: Signature,
    pub message: String,
    /// Whether GitHub signed it.
    pub verified: bool,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: String,
    pub sha: String,
}

/// Anything that has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    Blob(Vec<u8>),
    Tree(BTreeMap<String, Entry>),
    Commit(Commit),
}

/// Files of a tree by path.
pub type Flat = BTreeMap<String, Entry>;

/// What differs for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: String,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

impl Difference {
    /// As GitHub names it.
    pub fn status(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "modified",
        }
    }
}

/// The objects of a repository.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Store {
    objects: BTreeMap<String, Object>,
}

/// The id that Git gives to an object.
pub fn id(kind: &str, bytes: &[u8]) -> String {
    let mut all = format!("{kind} {}\0", bytes.len()).into_bytes();
    all.extend_from_slice(bytes);
    hex(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &all).as_ref())
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Git compares the name of a folder as if it ended with `/`.
fn tree_order(name: &str, entry: &Entry) -> String {
    if entry.mode == "40000" {
        format!("{name}/")
    } else {
        name.to_owned()
    }
}

/// An object as Git stores it: its kind, and its bytes.
pub fn encode(object: &Object) -> (&'static str, Vec<u8>) {
    match object {
        Object::Blob(bytes) => ("blob", bytes.clone()),
        Object::Tree(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(name, entry)| tree_order(name, entry));
            let mut bytes = Vec::new();
            for (name, entry) in sorted {
                bytes.extend_from_slice(format!("{} {name}\0", entry.mode).as_bytes());
                let digits = entry.sha.as_bytes().chunks(2);
                bytes.extend(
                    digits
                        .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()),
                );
            }
            ("tree", bytes)
        }
        Object::Commit(commit) => {
            let mut text = format!("tree {}\n", commit.tree);
            for parent in &commit.parents {
                text += &format!("parent {parent}\n");
            }
            text += &format!("author {}\n", commit.author.line());
            text += &format!("committer {}\n\n", commit.committer.line());
            text += &commit.message;
            ("commit", text.into_bytes())
        }
    }
}

impl Store {
    /// Stores an object and returns its id.
    pub fn put(&mut self, object: Object) -> String {
        let (kind, bytes) = encode(&object);
        let sha = id(kind, &bytes);
        self.objects.insert(sha.clone(), object);
        sha
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.objects.iter()
    }

    pub fn get(&self, sha: &str) -> Option<&Object> {
        self.objects.get(sha)
    }

    pub fn commit(&self, sha: &str) -> Option<&Commit> {
        match self.get(sha)? {
            Object::Commit(commit) => Some(commit),
            _ => None,
        }
    }

    pub fn blob(&self, sha: &str) -> Option<&[u8]> {
        match self.get(sha)? {
            Object::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn tree(&self, sha: &str) -> Option<&BTreeMap<String, Entry>> {
        match self.get(sha)? {
            Object::Tree(entries) => Some(entries),
            _ => None,
        }
    }

    /// The tree of a commit or tree.
    pub fn tree_of(&self, sha: &str) -> Option<String> {
        match self.get(sha)? {
            Object::Commit(commit) => Some(commit.tree.clone()),
            Object::Tree(_) => Some(sha.to_owned()),
            Object::Blob(_) => None,
        }
    }

    /// All files below a tree or commit.
    pub fn files(&self, sha: &str) -> Flat {
        let mut flat = Flat::new();
        if let Some(tree) = self.tree_of(sha) {
            self.walk(&tree, "", &mut flat);
        }
        flat
    }

    fn walk(&self, tree: &str, prefix: &str, flat: &mut Flat) {
        for (name, entry) in self.tree(tree).into_iter().flatten() {
            let path = format!("{prefix}{name}");
            if entry.mode == "40000" {
                self.walk(&entry.sha, &format!("{path}/"), flat);
            } else {
                flat.insert(path, entry.clone());
            }
        }
    }

    /// Builds the trees for a set of files.
    pub fn put_files(&mut self, files: &Flat) -> String {
        let mut entries = BTreeMap::new();
        let mut folders: BTreeMap<String, Flat> = BTreeMap::new();
        for (path, entry) in files {
            match path.split_once('/') {
                None => {
                    entries.insert(path.clone(), entry.clone());
                }
                Some((folder, rest)) => {
                    let inner = folders.entry(folder.to_owned()).or_default();
                    inner.insert(rest.to_owned(), entry.clone());
                }
            }
        }
        for (folder, inner) in folders {
            let sha = self.put_files(&inner);
            entries.insert(
                folder,
                Entry {
                    mode: "40000".to_owned(),
                    sha,
                },
            );
        }
        self.put(Object::Tree(entries))
    }

    /// A commit and everything before it, breadth first.
    pub fn history(&self, sha: &str) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([sha.to_owned()]);
        let mut order = Vec::new();
        while let Some(sha) = queue.pop_front() {
            if seen.insert(sha.clone()) {
                let parents = self.commit(&sha).map(|c| c.parents.clone());
                queue.extend(parents.unwrap_or_default());
                order.push(sha);
            }
        }
        order
    }

    pub fn is_ancestor(&self, old: &str, new: &str) -> bool {
        self.history(new).iter().any(|sha| sha == old)
    }

    /// The nearest commit that both have.
    pub fn merge_base(&self, a: &str, b: &str) -> Option<String> {
        let of_a: BTreeSet<String> = self.history(a).into_iter().collect();
        self.history(b).into_iter().find(|sha| of_a.contains(sha))
    }

    /// Commits of `head` that are not in `base`, oldest first.
    pub fn between(&self, base: &str, head: &str) -> Vec<String> {
        let known: BTreeSet<String> = self.history(base).into_iter().collect();
        let mut new = self.history(head);
        new.retain(|sha| !known.contains(sha));
        new.reverse();
        new
    }

    pub fn differences(&self, before: &str, after: &str) -> Vec<Difference> {
        let (old, new) = (self.files(before), self.files(after));
        let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let all = paths.into_iter().map(|path| Difference {
            path: path.clone(),
            before: old.get(path).cloned(),
            after: new.get(path).cloned(),
        });
        all.filter(|d| d.before != d.after).collect()
    }

    /// What a pull request from `head` to `base` changes.
    pub fn proposed(&self, base: &str, head: &str) -> Vec<Difference> {
        match self.merge_base(base, head) {
            Some(root) => self.differences(&root, head),
            None => self.differences(base, head),
        }
    }

    /// The files of `base` with the changes of `head`; `Err` names the files that both changed.
    pub fn merged(&self, base: &str, head: &str) -> Result<Flat, Vec<String>> {
        let theirs = self.proposed(base, head);
        let ours = self.proposed(head, base);
        let conflict =
            |d: &&Difference| ours.iter().any(|o| o.path == d.path && o.after != d.after);
        let conflicts: Vec<String> = theirs
            .iter()
            .filter(conflict)
            .map(|d| d.path.clone())
            .collect();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut files = self.files(base);
        for difference in theirs {
            match difference.after {
                Some(entry) => files.insert(difference.path, entry),
                None => files.remove(&difference.path),
            };
        }
        Ok(files)
    }
}
