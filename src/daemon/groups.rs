//! Groups of the system, by name or number.

use std::fs;

use crate::admin::SocketAccess;
use crate::config::AdminConfig;

/// Who may open the admin socket.
///
/// # Errors
/// When there is no such group.
pub fn socket_access(admin: &AdminConfig) -> Result<SocketAccess, String> {
    let table = fs::read_to_string("/etc/group").unwrap_or_default();
    let group = admin.group.as_deref().map(|name| number_of(name, &table)).transpose()?;
    Ok(SocketAccess { group, mode: admin.mode.0 })
}

/// A group that whoever checks is no member of, and so could not give the socket to.
pub fn foreign_group(admin: &AdminConfig) -> Option<String> {
    let table = fs::read_to_string("/etc/group").unwrap_or_default();
    let name = admin.group.as_deref()?;
    let number = number_of(name, &table).ok()?;
    let is_root = rustix::process::geteuid().is_root();
    let own = rustix::process::getgroups().unwrap_or_default();
    let is_member = own.iter().any(|group| group.as_raw() == number)
        || rustix::process::getegid().as_raw() == number;
    (!is_root && !is_member).then(|| {
        format!(
            "admin.group: the user who checks is no member of {name}: the daemon's user has to be \
             (usermod -aG)"
        )
    })
}

fn number_of(name: &str, table: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let found = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (named, number) = (fields.next()?, fields.nth(1)?);
        (named == name).then(|| number.parse().ok())?
    });
    found.ok_or_else(|| {
        format!("group: there is no group '{name}' in /etc/group: make it, or give its number")
    })
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn a_group_is_a_number_or_stands_in_the_table() {
        let table = "root:x:0:\noperators:x:1004:alice,bob\nbroken\n";
        assert_eq!(number_of("operators", table), Ok(1004));
        assert_eq!(number_of("77", table), Ok(77));
        assert!(number_of("op", table).is_err_and(|what| what.contains("'op'")));
        assert!(number_of("broken", table).is_err());
    }
}
