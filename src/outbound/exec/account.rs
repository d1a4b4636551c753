//! The user that a command runs as, out of /etc/passwd. Directory services are not asked.

use std::fs;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

/// Looks a user up.
///
/// # Errors
/// When there is none of this name, or the daemon cannot become it.
pub fn find(name: &str) -> Result<Account, String> {
    let table = fs::read_to_string(Path::new("/etc/passwd"))
        .map_err(|e| format!("/etc/passwd cannot be read: {e}"))?;
    let account = parse(&table, name)
        .ok_or_else(|| format!("--user {name}: there is no such user in /etc/passwd"))?;
    let own = rustix::process::geteuid();
    if !own.is_root() && own.as_raw() != account.uid {
        return Err(format!(
            "--user {name}: only a hookboxd that runs as root can become another user"
        ));
    }
    Ok(account)
}

fn parse(table: &str, name: &str) -> Option<Account> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1)?;
        if found != name {
            return None;
        }
        Some(Account {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, find, parse};

    #[test]
    fn users_are_found_by_their_whole_name() {
        let table =
            "root:x:0:0:root:/root:/bin/sh\nbad\nmail:x:8:12:a, b:/var/mail:/usr/sbin/nologin\n";
        let mail = Account { name: "mail".into(), uid: 8, gid: 12, home: "/var/mail".into() };
        assert_eq!(parse(table, "mail"), Some(mail));
        assert_eq!(parse(table, "mai"), None);
        assert_eq!(parse("x:x:-1:0::/:\n", "x"), None);
        assert!(find("nobody-of-this-name").is_err());
    }
}
