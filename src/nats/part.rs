//! A part of a stream: boxes that share the work of one stream without sharing messages. Pure.
//!
//! The server puts the number of a part in front of each subject when it stores the message
//! (`subject_transform` of the stream, `{{random(3)}}.jobs.>`), and the consumer of a part takes
//! what begins with its number. So a message that comes again comes to the same box, which has it.
//!
//! The only part (`1/1`) is the whole stream, which needs no numbers: one box takes all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::limits;

/// One of several parts, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxPart {
    number: u32,
    of: u32,
}

impl BoxPart {
    /// Whether it is all of the stream.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.of == 1
    }

    /// The name of its consumer, of which each part has one. It is the same when the number of
    /// parts changes, so that the consumer goes on where it was.
    #[must_use]
    pub fn consumer(self, name: &str) -> String {
        match self.is_all() {
            true => name.to_owned(),
            false => format!("{name}-{}", self.number),
        }
    }

    /// The subjects of its consumer: all of the part, or what matches one of these in it.
    #[must_use]
    pub fn filters(self, within: &[String]) -> Vec<String> {
        if self.is_all() {
            return within.to_vec();
        }
        let first = self.first_token();
        if within.is_empty() {
            return vec![format!("{first}.>")];
        }
        within.iter().map(|filter| format!("{first}.{filter}")).collect()
    }

    /// Whether a consumer with this filter takes nothing but messages of the part.
    #[must_use]
    pub fn is_of(self, filter: &str) -> bool {
        self.is_all()
            || filter.split_once('.').is_some_and(|(first, _)| first == self.first_token())
    }

    /// The subject as it was published.
    #[must_use]
    pub fn without(self, subject: &str) -> &str {
        match subject.split_once('.') {
            Some((first, rest)) if !self.is_all() && first == self.first_token() => rest,
            _ => subject,
        }
    }

    /// Whether a stream with this destination of its transform makes so many parts.
    #[must_use]
    pub fn is_made_by(self, destination: &str) -> bool {
        if self.is_all() {
            return true;
        }
        let text: String = destination.chars().filter(|c| *c != ' ').collect();
        let text = text.to_ascii_lowercase();
        let arguments = ["{{random(", "{{partition("].iter().find_map(|f| text.strip_prefix(f));
        let arguments = arguments.and_then(|rest| rest.split_once(")}}."));
        arguments.is_some_and(|(all, _)| all.split(',').next() == Some(&self.of.to_string()))
    }

    /// What the stream's transform has to be, for an example.
    #[must_use]
    pub fn example(self) -> String {
        format!(
            "subject_transform: {{src: \"jobs.>\", dest: \"{{{{random({})}}}}.jobs.>\"}}",
            self.of
        )
    }

    /// The server counts from 0.
    fn first_token(self) -> String {
        (self.number - 1).to_string()
    }
}

impl fmt::Display for BoxPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for BoxPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
        match numbers {
            Some((Ok(number @ 1..), Ok(of @ 1..=limits::NATS_PARTS))) if number <= of => {
                Ok(Self { number, of })
            }
            _ => {
                let most = limits::NATS_PARTS;
                Err(format!(
                    "'{text}' is no part: write 1/3 for the first of three, {most} at most"
                ))
            }
        }
    }
}

impl Serialize for BoxPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BoxPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::BoxPart;

    fn part(text: &str) -> BoxPart {
        text.parse().expect(text)
    }

    #[test]
    fn the_parts_of_a_stream_have_consumers_of_their_own() {
        let second = part("2/3");
        assert_eq!(second.consumer("boxes"), "boxes-2");
        assert_eq!(part("2/4").consumer("boxes"), "boxes-2", "it goes on where it was");
        assert_eq!(second.filters(&[]), ["1.>"]);
        assert_eq!(
            second.filters(&["jobs.a".into(), "jobs.b.>".into()]),
            ["1.jobs.a", "1.jobs.b.>"]
        );
        assert_eq!((second.without("1.jobs.a"), second.without("jobs.a")), ("jobs.a", "jobs.a"));
        assert!(second.is_of("1.>") && second.is_of("1.jobs.*"));
        for other in ["0.>", ">", "*.>", "11.>", ""] {
            assert!(!second.is_of(other), "{other}");
        }
        assert_eq!(second.to_string(), "2/3");
    }

    #[test]
    fn the_only_part_is_the_stream_as_it_is() {
        let all = part("1/1");
        assert_eq!(all.consumer("boxes"), "boxes");
        assert_eq!(all.filters(&["jobs.a".into()]), ["jobs.a"]);
        assert!(all.filters(&[]).is_empty());
        assert!(all.is_of("jobs.>") && all.is_made_by(""));
        assert_eq!(all.without("0.jobs.a"), "0.jobs.a");
    }

    #[test]
    fn a_transform_makes_as_many_parts_as_it_says() {
        let of_three = part("3/3");
        for made in ["{{random(3)}}.>", "{{ Partition( 3, 1, 2 ) }}.jobs.>", "{{partition(3)}}.x"] {
            assert!(of_three.is_made_by(made), "{made}");
        }
        for other in
            ["{{random(4)}}.>", "jobs.{{random(3)}}.>", "{{random(3)}}", "{{wildcard(3)}}.>"]
        {
            assert!(!of_three.is_made_by(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/3", "4/3", "1/0", "1/65", "a/b", "-1/3", "1/3/3"] {
            assert!(text.parse::<BoxPart>().is_err(), "{text}");
        }
    }
}
