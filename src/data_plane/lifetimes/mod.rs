//! Lifetimes of credentials: how long they live by kind, issuer and gateway, and which gateways let them
//! pass outside their life.
//!
//! ```text
//!           issued                  expires
//!  ----------|------- in life ---------|------------> time
//!     ^ before issue         ^ rejected   ^ after expiry
//!                              as revoked: any accepted use from here on is after revocation
//! ```
//! It spans credentials and gateways, so it is no detector of one credential's memory; every shard can keep
//! one, and [`audit::LifetimeAudit::merge`] adds them up.
//!
//! **Does not** decide: it counts. **Does not** keep the name of a credential.

pub mod audit;
pub mod credentials;
pub mod groups;
pub mod lifetime_use;
pub mod report;
