//! "Did you mean": the name that was probably meant.

/// The name that differs from `given` in at most a third of its letters, or in one; of several the
/// nearest.
#[must_use]
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (given.chars().count() / 3).max(1);
    let given = given.to_lowercase();
    let distance = |name: &'a str| (strsim::osa_distance(&given, &name.to_lowercase()), name);
    let (distance, name) = names.into_iter().map(distance).min()?;
    (distance <= most).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_is_near_is_meant() {
        let names = ["github", "gitlab", "app"];
        assert_eq!(nearest("gihtub", names), Some("github"));
        assert_eq!(nearest("ap", names), Some("app"));
        assert_eq!(nearest("GITHUB", names), Some("github"));
        assert_eq!(nearest("orders", ["Orders"]), Some("Orders"));
        assert_eq!(nearest("stripe", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
