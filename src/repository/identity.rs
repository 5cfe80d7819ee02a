//! Identity of what a backup is of, compared with the target of a command.
//!
//! Promise: what differs is named, part by part; what one side does not know is no difference.

use std::fmt;

use super::manifest::Manifest;

/// Target of a command, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) stack: String,
    /// The profile's name, where it is known.
    pub(crate) profile: Option<String>,
    /// The compose or swarm service, where there is one.
    pub(crate) service: Option<String>,
    /// The container's name and id, where they are known.
    pub(crate) container: Option<(String, String)>,
    /// The project has no other database service.
    pub(crate) only_service: bool,
    /// The database, where it is known.
    pub(crate) database: Option<String>,
    /// The Docker context, or the host where there is none.
    pub(crate) context: Option<String>,
}

/// Part in which two identities differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityPart {
    Stack,
    Profile,
    /// The service, or the container where there is none.
    Service,
    /// The Docker host.
    Host,
    Database,
}

/// One difference between a backup and a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) part: IdentityPart,
    pub(crate) backup: String,
    pub(crate) target: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backup, target, .. } = self;
        match self.part {
            IdentityPart::Stack => write!(f, "the backup is of stack {backup}, this is {target}"),
            IdentityPart::Profile => write!(f, "the backup is of profile {backup}, this is {target}"),
            IdentityPart::Service => {
                write!(f, "the backup is of database service {backup}, this is {target}")
            }
            IdentityPart::Host => {
                write!(f, "the backup was made in Docker context {backup}, this is {target}")
            }
            IdentityPart::Database => write!(f, "the backup is of database {backup}, this is {target}"),
        }
    }
}

impl Identity {
    /// Returns every part in which a backup differs from this target.
    pub(crate) fn differences(&self, manifest: &Manifest) -> Vec<Difference> {
        let source = &manifest.source;
        let mut found = Vec::new();
        let mut differ = |part, backup: &str, target: &str| {
            found.push(Difference { part, backup: backup.to_owned(), target: target.to_owned() });
        };
        if source.stack != self.stack {
            differ(IdentityPart::Stack, &source.stack, &self.stack);
        }
        if let (Some(backup), Some(target)) = (&source.profile, &self.profile)
            && backup != target
        {
            differ(IdentityPart::Profile, backup, target);
        }
        if !self.is_service(manifest) {
            let target = self.service.as_deref().or(self.container.as_ref().map(|(name, _)| name.as_str()));
            differ(IdentityPart::Service, service_of(manifest), target.unwrap_or_default());
        }
        let same_container = self.container.as_ref().is_some_and(|(_, id)| *id == source.container_id);
        if let Some(target) = self.context.as_ref().filter(|target| **target != source.context)
            && !same_container
        {
            differ(IdentityPart::Host, &source.context, target);
        }
        if let Some(target) = &self.database
            && !manifest.is_of_all()
            && *target != manifest.database
        {
            differ(IdentityPart::Database, &manifest.database, target);
        }
        found
    }

    /// Returns true where a backup is of this target; another Docker host alone does not exclude it.
    pub(crate) fn covers(&self, manifest: &Manifest) -> bool {
        self.differences(manifest).iter().all(|difference| difference.part == IdentityPart::Host)
    }

    fn is_service(&self, manifest: &Manifest) -> bool {
        let source = &manifest.source;
        let same_container = self
            .container
            .as_ref()
            .is_some_and(|(name, id)| *name == source.container || *id == source.container_id);
        match (&self.service, &source.service) {
            (Some(target), Some(backup)) => target == backup,
            // Nothing is known of the target but its stack.
            (None, _) if self.container.is_none() => true,
            // Manifests of older versions name no service.
            (Some(_), None) => same_container || self.only_service,
            (None, _) => same_container,
        }
    }
}

/// Returns the service of a backup, or its container where there is none.
pub(crate) fn service_of(manifest: &Manifest) -> &str {
    manifest.source.service.as_deref().unwrap_or(&manifest.source.container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::manifest::tests::sample;

    fn target() -> Identity {
        Identity {
            stack: "acme".into(),
            profile: Some("prod".into()),
            service: Some("db".into()),
            container: Some(("acme-db-1".into(), "c1".into())),
            only_service: false,
            database: Some("acme".into()),
            context: Some("default".into()),
        }
    }

    fn backup(change: impl FnOnce(&mut Manifest)) -> Manifest {
        let mut manifest = sample();
        manifest.source.service = Some("db".into());
        manifest.source.container = "acme-db-1".into();
        manifest.source.container_id = "c1".into();
        manifest.source.context = "default".into();
        change(&mut manifest);
        manifest
    }

    fn parts(target: &Identity, manifest: &Manifest) -> Vec<IdentityPart> {
        target.differences(manifest).iter().map(|difference| difference.part).collect()
    }

    #[test]
    fn every_part_that_differs_is_named() {
        assert_eq!(parts(&target(), &backup(|_| ())), []);
        let other = backup(|m| {
            m.source.stack = "shop".into();
            m.source.profile = Some("dev".into());
            m.source.service = Some("second".into());
            m.source.container_id = "c2".into();
            m.source.context = "far".into();
            m.database = "h1".into();
        });
        let all = [
            IdentityPart::Stack,
            IdentityPart::Profile,
            IdentityPart::Service,
            IdentityPart::Host,
            IdentityPart::Database,
        ];
        assert_eq!(parts(&target(), &other), all);
        let shown = target().differences(&other).last().unwrap().to_string();
        assert_eq!(shown, "the backup is of database h1, this is acme");
        assert!(!target().covers(&other));
        assert!(target().covers(&backup(|m| {
            m.source.container_id = "c2".into();
            m.source.context = "far".into();
        })));
    }

    #[test]
    fn a_manifest_without_a_service_is_known_by_its_container() {
        let old = |name: &str, id: &str| {
            backup(|m| {
                m.source.service = None;
                m.source.container = name.into();
                m.source.container_id = id.into();
            })
        };
        assert_eq!(parts(&target(), &old("acme-db-1", "c0")), [], "made anew since");
        assert_eq!(parts(&target(), &old("renamed", "c1")), []);
        assert_eq!(parts(&target(), &old("acme-second-1", "c2")), [IdentityPart::Service]);
        let only = Identity { only_service: true, ..target() };
        assert_eq!(parts(&only, &old("acme_db_1", "c2")), [], "named by an older compose");
        let plain = Identity { service: None, ..target() };
        assert_eq!(parts(&plain, &old("acme-db-1", "c0")), []);
        assert_eq!(parts(&plain, &old("acme-second-1", "c2")), [IdentityPart::Service]);
    }

    #[test]
    fn what_is_not_known_is_no_difference() {
        let vague = Identity { stack: "acme".into(), ..Identity::default() };
        assert_eq!(parts(&vague, &backup(|m| m.source.service = Some("second".into()))), []);
        assert_eq!(parts(&target(), &backup(|m| m.source.profile = None)), []);
        let of_all = backup(|m| {
            m.format = crate::repository::manifest::CLUSTER.into();
            m.database = String::new();
        });
        assert_eq!(parts(&target(), &of_all), []);
    }
}
