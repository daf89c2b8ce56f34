//! What a server says of itself, and what that means for sessions. Reads `INFO` and `CONFIG GET save`; pure.

use crate::store::probe::{Finding, Gravity};

/// The oldest version whose commands suffice.
const OLDEST: (u32, u32) = (6, 2);

/// What a server says of itself; `None`: it does not tell this user.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The reply to `INFO`.
    pub(super) info: Option<String>,
    /// When it writes snapshots: the value of `save`, empty for never.
    pub(super) save: Option<String>,
}

impl Health {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let Some(info) = &self.info else {
            let what = "INFO is not permitted: version, role, memory limit and persistence could not be checked";
            return vec![Finding::new(Gravity::Note, what, "permit it (+info), or see to these yourself")];
        };
        let info = Info(info);
        let judgements = [info.version(), info.role(), info.memory(), self.persistence(&info), info.saving()];
        judgements.into_iter().flatten().collect()
    }

    fn persistence(&self, info: &Info<'_>) -> Option<Finding> {
        if info.field("aof_enabled")? != "0" {
            return None;
        }
        Some(match self.save.as_deref() {
            None => Finding::new(
                Gravity::Note,
                "it keeps no append-only file, and CONFIG is not permitted: whether it writes snapshots could not be checked",
                "set appendonly yes, or permit +config|get",
            ),
            Some("") => Finding::new(
                Gravity::Warning,
                "it keeps nothing on disk: when it restarts everybody is logged out",
                "set appendonly yes",
            ),
            Some(_) => Finding::new(
                Gravity::Note,
                "it writes snapshots only: a crash takes back what was saved since the last one",
                "set appendonly yes",
            ),
        })
    }
}

/// The text of `INFO`.
struct Info<'a>(&'a str);

impl Info<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    fn version(&self) -> Option<Finding> {
        if let Some(valkey) = self.field("valkey_version") {
            return Some(Finding::good(format!("it is Valkey {valkey}")));
        }
        let text = self.field("redis_version")?;
        let mut parts = text.split('.').map(str::parse);
        Some(match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST => {
                Finding::fault(format!("it is Redis {text}"), "Cloakroom needs Redis 6.2 or later, or Valkey")
            }
            _ => Finding::good(format!("it is Redis {text}")),
        })
    }

    fn role(&self) -> Option<Finding> {
        let is_replica = self.field("role")? == "slave";
        is_replica.then(|| {
            let what = "it is a replica: what is written there, if it can be, is lost";
            Finding::new(Gravity::Warning, what, "name the primary in store.url")
        })
    }

    fn memory(&self) -> Option<Finding> {
        let (limit, policy) = (self.field("maxmemory")?, self.field("maxmemory_policy")?);
        match (limit, policy) {
            ("0", _) => Some(Finding::new(
                Gravity::Note,
                "maxmemory is not set: it grows until the machine has no memory left",
                "set maxmemory, with maxmemory-policy noeviction",
            )),
            (_, "noeviction") => None,
            (_, policy) => Some(Finding::new(
                Gravity::Warning,
                format!("maxmemory-policy is {policy}: when its memory is full it logs people out in silence"),
                "set maxmemory-policy noeviction",
            )),
        }
    }

    fn saving(&self) -> Option<Finding> {
        let failed = ["aof_last_write_status", "rdb_last_bgsave_status"].map(|field| self.field(field) == Some("err"));
        failed.contains(&true).then(|| {
            Finding::new(
                Gravity::Warning,
                "it could not write to its disk lately",
                "look into its log, and at its disk",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n\
                        aof_enabled:1\r\naof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\n";

    fn judged(info: &str, save: Option<&str>) -> Vec<(Gravity, String)> {
        let health = Health { info: Some(info.to_owned()), save: save.map(str::to_owned) };
        health.findings().into_iter().map(|finding| (finding.gravity, finding.to_string())).collect()
    }

    #[test]
    fn a_server_as_it_should_be_gives_no_cause_for_a_word() {
        assert_eq!(judged(GOOD, Some("")), [(Gravity::Good, "it is Redis 7.0.15".to_owned())]);
    }

    #[test]
    fn each_danger_is_found() {
        for (from, to, save, gravity, word) in [
            ("7.0.15", "6.2.0", None, Gravity::Good, "Redis 6.2.0"),
            ("7.0.15", "6.0.16", None, Gravity::Fault, "needs Redis 6.2"),
            ("7.0.15", "5.9", None, Gravity::Fault, "needs Redis 6.2"),
            ("7.0.15", "10.0.0", None, Gravity::Good, "Redis 10.0.0"),
            ("7.0.15", "7.2.4\r\nvalkey_version:8.1.0", None, Gravity::Good, "Valkey 8.1.0"),
            ("7.0.15", "unstable", None, Gravity::Good, "Redis unstable"),
            ("role:master", "role:slave", None, Gravity::Warning, "is a replica"),
            ("noeviction", "allkeys-lru", None, Gravity::Warning, "logs people out"),
            ("noeviction", "volatile-ttl", None, Gravity::Warning, "volatile-ttl"),
            ("maxmemory:1000", "maxmemory:0", None, Gravity::Note, "maxmemory is not set"),
            ("aof_enabled:1", "aof_enabled:0", Some(""), Gravity::Warning, "nothing on disk"),
            ("aof_enabled:1", "aof_enabled:0", Some("3600 1"), Gravity::Note, "snapshots only"),
            ("aof_enabled:1", "aof_enabled:0", None, Gravity::Note, "could not be checked"),
            ("write_status:ok", "write_status:err", None, Gravity::Warning, "its disk"),
            ("bgsave_status:ok", "bgsave_status:err", None, Gravity::Warning, "its disk"),
        ] {
            let findings = judged(&GOOD.replacen(from, to, 1), save);
            let found = findings.iter().any(|(found, text)| *found == gravity && text.contains(word));
            assert!(found, "{to}: {findings:?}");
        }
    }

    #[test]
    fn a_server_that_tells_nothing_is_no_fault() {
        let findings = Health::default().findings();
        assert!(findings.len() == 1 && findings[0].gravity == Gravity::Note, "{findings:?}");
        assert_eq!(judged("", None), []);
    }
}
