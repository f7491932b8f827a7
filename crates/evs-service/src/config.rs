//! Every limit of the service, in one place.

use core::fmt;
use core::time::Duration;

/// Largest message body that can be configured, in bytes, and what is accepted from any sender
/// whatever the own setting is: if receivers dropped by their own settings, processors that go
/// from one configuration to the next together could deliver different messages (EVS-4).
pub const MESSAGE_BYTES_CAP: usize = 16 << 20;
/// Most clients that can be configured.
pub const CLIENTS_CAP: usize = 65_536;
/// Most groups per client that can be configured.
pub const GROUPS_PER_CLIENT_CAP: usize = 1 << 20;
/// Largest send queue of one client that can be configured, in bytes.
pub const CLIENT_SEND_BYTES_CAP: usize = 1 << 30;

/// How long an orderly leave sends what was accepted before it drops the rest (LIVE-2).
pub const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Most unordered messages of one sender that are incomplete at the same time.
///
/// What is incomplete here lacks a packet that not everybody has, and the ring has at most two
/// windows of those under way. A sender has one message in progress at a time, so between one
/// packet and the next at most one message goes on. Hence a sender that keeps the protocol never
/// reaches this limit, and no message is lost to it at one processor alone (EVS-4).
pub(crate) const UNORDERED_PARTIALS_MAX: usize = 2 * totem::WINDOW_PACKETS_CAP as usize;

/// The settings of one service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The settings of the ring.
    pub totem: totem::Config,
    /// Most clients at a time; those that are gone count until what they sent is sequenced. 1 to
    /// [`CLIENTS_CAP`]; default 1,024.
    pub clients_max: usize,
    /// Most groups that one client can be in. 1 to [`GROUPS_PER_CLIENT_CAP`]; default 4,096.
    pub groups_per_client_max: usize,
    /// Most bytes of one client that wait to be sequenced, by [`evs_model::send_cost`]; one
    /// message is always taken, however large. 4 KiB to [`CLIENT_SEND_BYTES_CAP`]; default 4 MiB.
    pub client_send_bytes_max: usize,
    /// Largest body of a message, in bytes. 1 to [`MESSAGE_BYTES_CAP`]; default 1 MiB.
    pub message_bytes_max: usize,
    /// Where the counters begin: at 0 but in simulations.
    pub origins: Origins,
}

/// The settings that can change while the service runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientLimits {
    /// As [`Config::clients_max`]. Clients that are there stay.
    pub clients_max: usize,
    /// As [`Config::groups_per_client_max`]. Groups that were joined stay joined.
    pub groups_per_client_max: usize,
    /// As [`Config::client_send_bytes_max`]. It only grows: clients go on by what they were told.
    pub client_send_bytes_max: usize,
}

/// Where the counters begin. All are 0 but in simulations of what happens where a counter nears
/// the end of its type, which no processor lives to see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Origins {
    /// The number before that of the first client.
    pub client: u64,
    /// The number before that of each client's first message.
    pub message: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            totem: totem::Config::default(),
            clients_max: 1_024,
            groups_per_client_max: 4_096,
            client_send_bytes_max: 4 << 20,
            message_bytes_max: 1 << 20,
            origins: Origins::default(),
        }
    }
}

/// A setting that is out of its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigError {
    /// One of the service's own.
    Range {
        /// The field of [`Config`].
        key: &'static str,
        /// The smallest value allowed, in the field's unit.
        min: usize,
        /// The largest value allowed.
        max: usize,
        /// The value given.
        value: usize,
    },
    /// One of the ring's.
    Totem(totem::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { key, min, max, value } => {
                write!(f, "{key} is {value}, allowed are {min} to {max}")
            }
            Self::Totem(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks every setting against its range, the ring's included.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.totem.validate().map_err(ConfigError::Totem)?;
        let ranges = [
            ("clients_max", self.clients_max, 1, CLIENTS_CAP),
            ("groups_per_client_max", self.groups_per_client_max, 1, GROUPS_PER_CLIENT_CAP),
            ("client_send_bytes_max", self.client_send_bytes_max, 4 << 10, CLIENT_SEND_BYTES_CAP),
            ("message_bytes_max", self.message_bytes_max, 1, MESSAGE_BYTES_CAP),
        ];
        for (key, value, min, max) in ranges {
            if value < min || value > max {
                return Err(ConfigError::Range { key, min, max, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn every_limit_is_taken_at_its_cap_and_refused_by_name_beyond() {
        type Field = fn(&mut Config) -> &mut usize;
        let caps: [(&str, Field, usize); 4] = [
            ("clients_max", |c| &mut c.clients_max, CLIENTS_CAP),
            ("groups_per_client_max", |c| &mut c.groups_per_client_max, GROUPS_PER_CLIENT_CAP),
            ("client_send_bytes_max", |c| &mut c.client_send_bytes_max, CLIENT_SEND_BYTES_CAP),
            ("message_bytes_max", |c| &mut c.message_bytes_max, MESSAGE_BYTES_CAP),
        ];
        for (key, field, cap) in caps {
            let mut config = Config::default();
            *field(&mut config) = cap;
            assert_eq!(config.validate(), Ok(()));
            *field(&mut config) = cap + 1;
            let error = config.validate().expect_err("beyond the cap");
            assert!(error.to_string().starts_with(key), "{error}");
            *field(&mut config) = 0;
            assert!(config.validate().is_err(), "{key} may be 0");
        }
    }

    #[test]
    fn a_setting_of_the_ring_is_refused_with_the_rings_words() {
        let mut config = Config::default();
        config.totem.packet_bytes_max = 1;
        let error = config.validate().expect_err("no packet is that small");
        assert!(error.to_string().starts_with("packet_bytes_max is 1"), "{error}");
    }
}
