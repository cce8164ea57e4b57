//! The constraint types that look inside a text, by their names. Normative: `docs/protocol.md`, section 7.

use crate::address::Network;
use crate::pattern::Pattern;
use crate::url::{self, UrlRule};
use crate::{path, words};

/// What a text has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    MaxLength(u64),
    PathContainment { root: String },
    Pattern(Pattern),
    Url(UrlRule),
    UrlSafe,
    Cidr(Network),
    ShellWords { programs: Vec<String> },
}

/// The members of a constraint, for its reader to take out one by one. A member of another type than asked for is an error.
pub trait MemberSource {
    /// What is wrong with a member.
    type Error;

    /// The text of that name.
    fn text(&mut self, name: &str) -> Result<Option<String>, Self::Error>;

    /// The list of texts of that name.
    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Self::Error>;

    /// The whole number of that name.
    fn number(&mut self, name: &str) -> Result<Option<u64>, Self::Error>;

    /// The list of whole numbers of that name.
    fn numbers(&mut self, name: &str) -> Result<Option<Vec<u64>>, Self::Error>;

    /// An error that says this.
    fn wrong(what: &str) -> Self::Error;
}

impl Predicate {
    /// Reads a constraint of this type; none where the type is not one of those here.
    /// Fails where a member is missing or not what it should be.
    pub fn read<M: MemberSource>(constraint_type: &str, members: &mut M) -> Result<Option<Self>, M::Error> {
        let needed = |text: Option<String>, what| text.ok_or_else(|| M::wrong(what));
        let kind = match constraint_type {
            "max_length" => {
                let max = members.number("max")?;
                Kind::MaxLength(max.ok_or_else(|| M::wrong("`max_length` needs a `max`"))?)
            }
            "path_containment" => {
                let root = members.text("root")?.and_then(|root| path::normal(&root).map(str::to_owned));
                let root = needed(root, "`path_containment` needs a `root`: an absolute path in normal form")?;
                Kind::PathContainment { root }
            }
            "pattern" => {
                let glob = needed(members.text("glob")?, "`pattern` needs a `glob`")?;
                Kind::Pattern(Pattern::glob(&glob).map_err(M::wrong)?)
            }
            "regex" => Kind::Pattern(Pattern::regex(needed(members.text("pattern")?, "`regex` needs a `pattern`")?)),
            "url" => {
                let (schemes, hosts) = (members.texts("schemes")?, members.texts("hosts")?);
                let (ports, prefix) = (members.numbers("ports")?, members.text("path_prefix")?);
                Kind::Url(UrlRule::new(schemes, hosts, ports, prefix).map_err(M::wrong)?)
            }
            "url_safe" => Kind::UrlSafe,
            "cidr" => {
                let network = needed(members.text("network")?, "`cidr` needs a `network`")?;
                Kind::Cidr(Network::parse(&network).map_err(M::wrong)?)
            }
            "shell_words" => {
                let programs = members.texts("programs")?;
                let programs = programs.filter(|names| names.iter().all(|name| words::is_program(name)));
                let what = "`shell_words` needs `programs`: a list of names, each one word without quotes";
                Kind::ShellWords { programs: programs.ok_or_else(|| M::wrong(what))? }
            }
            _ => return Ok(None),
        };
        Ok(Some(Self(kind)))
    }

    /// Whether it can be used at all. What cannot allows nothing.
    /// Fails where it is a pattern that does not compile.
    pub fn check(&self) -> Result<(), &'static str> {
        if let Kind::Pattern(pattern) = &self.0 { pattern.check() } else { Ok(()) }
    }

    /// What [`Self::allows`] costs at most, in comparisons: about a quarter of a microsecond each.
    pub fn cost(&self, text: &str) -> usize {
        let comparisons = match &self.0 {
            Kind::Pattern(pattern) => return pattern.cost(text.len()),
            Kind::Url(rule) => rule.parts(),
            Kind::UrlSafe => 16,
            Kind::ShellWords { programs } => programs.len(),
            _ => 0,
        };
        comparisons.saturating_add(text.len() / 4)
    }

    /// Whether the text is what it has to be. What cannot be decided is denied.
    pub fn allows(&self, text: &str) -> bool {
        match &self.0 {
            Kind::MaxLength(max) => u64::try_from(text.chars().count()).is_ok_and(|length| length <= *max),
            Kind::PathContainment { root } => path::normal(text).is_some_and(|path| path::contains(root, path)),
            Kind::Pattern(pattern) => pattern.matches(text),
            Kind::Url(rule) => rule.allows(text),
            Kind::UrlSafe => url::is_public(text),
            Kind::Cidr(network) => network.contains(text),
            Kind::ShellWords { programs } => words::starts_one_of(text, programs),
        }
    }
}
