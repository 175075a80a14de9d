//! How requests end other than well, by the names that the access log and the metrics use.
//!
//! Names alone: what a request is answered with is decided elsewhere.

/// Why a request did not get a whole answer of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// No instance took a connection.
    Connect,
    /// No socket was left to ask an instance with.
    NoSocket,
    /// The instance closed its connection without an answer.
    Closed,
    /// The instance did not answer in time.
    Late,
    /// The request was not over in the time that it may take, and the instance was waited for.
    Overdue,
    /// The instance's answer was malformed.
    Malformed,
    /// The instance broke its answer off.
    Cut,
    /// The client went before the end.
    ClientGone,
    /// The client's request was malformed.
    BadRequest,
    /// The client's head was too large.
    TooLarge,
    /// The client's body was too large.
    BodyTooLarge,
    /// The client sent too slowly.
    SlowClient,
    /// The client's body dripped.
    SlowBody,
    /// The client has too many connections.
    ClientConnections,
    /// The client has too many requests open.
    ClientRequests,
    /// The client asks too often.
    ClientRate,
    /// No app is routed there.
    NoApp,
    /// No instance serves the app.
    NoInstance,
    /// It waited for the app to be replaced until a bound was reached.
    Held,
    /// The app is out of service by intent.
    Maintenance,
    /// There are as many connections as are allowed.
    Full,
    /// A fault was injected.
    Injected,
    /// It was open when the time was over that the proxy had to finish.
    Stopped,
}

impl Class {
    /// All of them.
    pub(crate) const ALL: [Self; 23] = [
        Self::Connect,
        Self::NoSocket,
        Self::Closed,
        Self::Late,
        Self::Overdue,
        Self::Malformed,
        Self::Cut,
        Self::ClientGone,
        Self::BadRequest,
        Self::TooLarge,
        Self::BodyTooLarge,
        Self::SlowClient,
        Self::SlowBody,
        Self::ClientConnections,
        Self::ClientRequests,
        Self::ClientRate,
        Self::NoApp,
        Self::NoInstance,
        Self::Held,
        Self::Maintenance,
        Self::Full,
        Self::Injected,
        Self::Stopped,
    ];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::NoSocket => "no-socket",
            Self::Closed => "closed",
            Self::Late => "late",
            Self::Overdue => "overdue",
            Self::Malformed => "malformed",
            Self::Cut => "cut",
            Self::ClientGone => "client-gone",
            Self::BadRequest => "bad-request",
            Self::TooLarge => "too-large",
            Self::BodyTooLarge => "body-too-large",
            Self::SlowClient => "slow-client",
            Self::SlowBody => "slow-body",
            Self::ClientConnections => "client-connections",
            Self::ClientRequests => "client-requests",
            Self::ClientRate => "client-rate",
            Self::NoApp => "no-app",
            Self::NoInstance => "no-instance",
            Self::Held => "held",
            Self::Maintenance => "maintenance",
            Self::Full => "full",
            Self::Injected => "injected",
            Self::Stopped => "stopped",
        }
    }

    /// Why a client's own request was refused, by the status of the refusal.
    pub(crate) const fn of_refusal(status: u16) -> Self {
        match status {
            408 => Self::SlowClient,
            413 => Self::BodyTooLarge,
            431 => Self::TooLarge,
            _ => Self::BadRequest,
        }
    }

    /// True for what only an instance that was asked can cause.
    pub(crate) const fn of_instance(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Closed
                | Self::Late
                | Self::Overdue
                | Self::Malformed
                | Self::Cut
                | Self::ClientGone
        )
    }

    /// True for what a request can meet without an instance, though its app is known.
    pub(crate) const fn of_app(self) -> bool {
        matches!(
            self,
            Self::NoInstance
                | Self::NoSocket
                | Self::ClientGone
                | Self::SlowClient
                | Self::SlowBody
                | Self::Held
                | Self::Maintenance
                | Self::Full
                | Self::BodyTooLarge
                | Self::ClientConnections
                | Self::ClientRequests
                | Self::ClientRate
        )
    }
}
