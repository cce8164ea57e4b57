//! The values that options take.

/// `SERVER/TOOL`. The name of a tool may have slashes itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolName {
    pub(crate) server: String,
    pub(crate) tool: String,
}

impl std::str::FromStr for ToolName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((server, tool)) if !server.is_empty() && !tool.is_empty() => {
                Ok(Self { server: server.to_owned(), tool: tool.to_owned() })
            }
            _ => Err("write it as SERVER/TOOL, such as files/read_file"),
        }
    }
}

/// Digits, and no more than a document can hold.
pub(crate) fn whole(text: &str) -> Result<u64, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= chio_core::canonical::MAX_INTEGER);
    number.ok_or("write a whole number, at most 2^53−1 (9007199254740991)")
}

/// A length of time.
pub(crate) fn seconds(text: &str) -> Result<u64, &'static str> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = whole(digits).ok().zip(factor).and_then(|(count, factor)| count.checked_mul(factor));
    seconds.filter(|seconds| *seconds > 0).ok_or("write it as 90s, 15m, 1h or 7d, at least a second")
}

/// A point in time: Unix seconds, a day, or a day and a time with its zone.
pub(crate) fn moment(text: &str) -> Result<u64, &'static str> {
    const HELP: &str = "write it as 2026-09-21, 2026-09-21T14:00:00Z or in Unix seconds";
    if !text.contains('-') {
        return whole(text).map_err(|_| HELP);
    }
    let whole_day = || text.parse::<jiff::civil::Date>().ok().map(|_| format!("{text}T00:00:00Z"));
    let timestamp = text.parse().ok().or_else(|| whole_day()?.parse::<jiff::Timestamp>().ok());
    timestamp.and_then(|timestamp| u64::try_from(timestamp.as_second()).ok()).ok_or(HELP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for text in ["1790000000", "2026-09-21T14:13:20Z", "2026-09-21T16:13:20+02:00"] {
            assert_eq!(moment(text), Ok(1_790_000_000), "{text}");
        }
        assert_eq!(moment("2026-09-21"), Ok(1_789_948_800));
        for text in ["noon", "", "-5", "2026-13-01", "2026-09-21T14:13:20", "1960-01-01"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
