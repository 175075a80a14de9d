//! Every limit and timeout of the proxy that is not told to it (`settings`), in one place.
//!
//! Constants for now; whatever becomes configurable later starts here. No behaviour lives here.

use std::time::Duration;

/// Largest head of a request or answer, bytes (request line and fields, with the empty line).
pub(crate) const HEAD: usize = 32 * 1024;
/// Most fields in a head.
pub(crate) const FIELDS: usize = 100;
/// Longest chunk-size line, bytes, extensions included.
pub(crate) const CHUNK_LINE: usize = 256;
/// Longest line in a trailer section, bytes. It must fit in a [`BUFFER`].
pub(crate) const TRAILER_LINE: usize = 8 * 1024;
/// Largest trailer section, bytes.
pub(crate) const TRAILERS: usize = 32 * 1024;
/// Size of the buffers that bodies pass through, bytes; holds a whole head.
pub(crate) const BUFFER: usize = 64 * 1024;
/// Content that arrives together with its head is joined to it up to so many bytes.
pub(crate) const JOINED: usize = 1024;
/// Free buffers a thread keeps.
pub(crate) const SPARE_BUFFERS: usize = 32;
/// Most interim answers (1xx) passed on for one request.
pub(crate) const INTERIM: u32 = 16;

/// Most streams of an HTTP/2 connection that a client may have open at a time.
pub(crate) const STREAMS: u32 = 128;
/// Most streams of a connection under way here, those counted that their client has broken off.
pub(crate) const STREAMS_OPEN: usize = 256;
/// Most streams that were broken off before they were taken in.
pub(crate) const RESETS_WAITING: usize = 32;
/// Most streams of a connection that end in an error of the client.
pub(crate) const RESETS_OURS: usize = 256;
/// Streams a client may break off in excess of those whose answers it takes, before its connection
/// is ended (ENHANCE_YOUR_CALM).
pub(crate) const RESETS: u32 = 256;
/// Largest list of fields, bytes as HTTP/2 counts them; also limits CONTINUATION frames.
pub(crate) const HEADER_LIST: u32 = 32 * 1024;
/// Bytes a client may send ahead on one stream.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes a client may send ahead on one connection.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// A stream that its instance takes nothing of for this long may keep the others of its connection from sending.
pub(crate) const JAMMED: Duration = Duration::from_millis(100);
/// Bytes of an answer that wait for one stream's turn.
pub(crate) const STREAM_BUFFER: usize = 64 * 1024;
/// A TLS handshake must be done within this.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Tickets of TLS sessions can be used for this long.
pub(crate) const TICKET_LIFE: Duration = Duration::from_hours(12);
/// Ticket keys are replaced after this.
pub(crate) const TICKET_KEY_AGE: Duration = Duration::from_hours(6);
/// Most ticket keys that are known at a time: the present one and those whose tickets still live.
pub(crate) const TICKET_KEYS: usize = 4;
/// A client that has ended its side and waits for an answer is taken for gone when the instance is
/// silent for this long: the few that half-close on purpose get quick answers, and those that went
/// (it looks the same) do not hold an instance for the length of a long poll.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(5);
/// A peer that is silent is asked by the kernel whether it is still there: first after this, then
/// every [`KEEPALIVE_EVERY`], [`KEEPALIVE_TRIES`] times. Hosts that vanish say no goodbye.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
/// See [`KEEPALIVE_IDLE`].
pub(crate) const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// See [`KEEPALIVE_IDLE`].
pub(crate) const KEEPALIVE_TRIES: u32 = 4;
/// A peer that takes no byte of what the proxy says in its own name for this long is given up.
pub(crate) const WRITE_STALL: Duration = Duration::from_mins(1);

/// Idle connections to instances are closed after this. Shorter than the 5 s after which common
/// servers close theirs, so that we are the ones who close.
pub const POOL_IDLE: Duration = Duration::from_secs(4);
/// Most idle connections a thread keeps to one instance: as many as a few HTTP/2 connections keep
/// busy, or each burst of streams would connect anew.
pub(crate) const POOL_PER_INSTANCE: usize = 256;
/// Pause between looks at idle connections to instances.
pub(crate) const POOL_SWEEP: Duration = Duration::from_secs(1);
/// An instance that refused a connection is avoided for this long if there is another.
pub(crate) const AVOID: Duration = Duration::from_secs(1);
/// A reset that answers what was sent to a closed connection is waited for, for so long.
pub(crate) const RESET_COMES: Duration = Duration::from_millis(200);
/// A body that came whole with its head, or was gathered, is kept for as long as its request is open, up to
/// so many bytes.
pub(crate) const KEPT: usize = 16 * 1024;
/// Most bytes of bodies that a thread keeps because it gathered them.
pub(crate) const GATHERED: usize = 16 * 1024 * 1024;
/// Times one request is sent at most, to different instances.
pub(crate) const TRIES: usize = 3;
/// A client that comes back within this is in the cohort it was in.
pub(crate) const COHORT_LIFE: Duration = Duration::from_hours(30 * 24);
/// Times a closed gate sends a request back to the routes.
pub(crate) const REPICKS: usize = 16;

/// After a stop, an idle client connection stays this long so that a request that crosses our
/// close is still answered (RFC 9112 section 9.6 knows no better way in HTTP/1.1); one that speaks
/// HTTP/2 may open streams for this long after it was told of the end.
pub(crate) const IDLE_LINGER: Duration = Duration::from_secs(1);
/// A closing connection is read for this long without a byte, so that unread data does not turn
/// into a reset that destroys the answer (RFC 9112 section 9.6).
pub(crate) const CLOSE_QUIET: Duration = Duration::from_secs(2);
/// A closing connection is read for this long at most.
pub(crate) const CLOSE_TOTAL: Duration = Duration::from_secs(30);
/// Rest of a request body that is discarded to keep a connection after an early answer, bytes.
pub(crate) const DISCARD: u64 = 256 * 1024;
/// Time in which such a rest must arrive.
pub(crate) const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Held requests are let through in so many steps at most.
pub(crate) const RELEASE_STEPS: u64 = 100;
/// Pause between two such steps.
pub(crate) const RELEASE_STEP: Duration = Duration::from_millis(5);
/// Fewest held requests that are let through in a step.
pub(crate) const RELEASE_BATCH: usize = 16;

/// A WebSocket that is to be closed is quiet when nothing has moved for this long ...
pub(crate) const FAREWELL_LULL: Duration = Duration::from_millis(20);
/// ... and is closed after this all the same.
pub(crate) const FAREWELL_WAITS: Duration = Duration::from_millis(500);
/// WebSockets are told to leave this much sooner after each other, if they were kept from it.
pub(crate) const FAREWELL_BURST: Duration = Duration::from_millis(20);
/// How long messages under way may take to end, and the instance to say its last, before a WebSocket is
/// closed in the midst of them.
pub(crate) const FAREWELL_MESSAGE: Duration = Duration::from_secs(1);
/// How long both sides may then take to finish the closing handshake.
pub(crate) const FAREWELL_CLOSE: Duration = Duration::from_secs(4);
/// A client that was sent a message is taken to be on its way for this long ...
pub(crate) const FAREWELL_LEAVES: Duration = Duration::from_secs(2);
/// ... and one that it could not be sent to for this long; then others have their turn.
pub(crate) const FAREWELL_PLACE: Duration = Duration::from_secs(5);

/// SIGTERM lets what is open finish for this long.
pub(crate) const TERM_DEADLINE: Duration = Duration::from_secs(30);
/// Pause after `accept` failed for want of descriptors or memory; the kernel announces neither.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Threads have this long to name what is open.
pub(crate) const NAMING: Duration = Duration::from_secs(1);
/// Receipts of one prober that a thread keeps until they are taken: a minute of 1,000 a second.
pub(crate) const RECEIPTS: usize = 1 << 16;
/// Most receipts that a thread tells at a time.
pub(crate) const RECEIPTS_TOLD: usize = 1 << 12;
/// Probers that get receipts at a time; of more, the one that was asked about longest ago gets none.
pub(crate) const PROBERS: usize = 64;
/// Who says nothing on the admin socket for this long is taken for gone: a controller asks twice a second.
pub(crate) const UNATTENDED: Duration = Duration::from_secs(5);
/// Pause between two looks at that, and at what checks have found meanwhile.
pub(crate) const WATCH_BEAT: Duration = Duration::from_millis(500);
/// An instance found failing is left out for this long, ms, each time anew.
pub(crate) const WATCH_HOLDS_MS: u64 = 2_000;
/// Longest line on the admin socket, bytes.
pub(crate) const ADMIN_LINE: usize = 8 * 1024 * 1024;

/// A thread's lines of the access log are handed over when there are so many bytes of them; the rest
/// with [`POOL_SWEEP`].
pub(crate) const LOG_BATCH: usize = 32 * 1024;
/// Batches that may wait for the disk, of all threads; what comes on top is dropped.
pub(crate) const LOG_BATCHES: usize = 128;
/// Emptied batches that a thread takes back.
pub(crate) const LOG_SPARE: usize = 4;
/// When the process ends, the disk may take this long for the last lines.
pub(crate) const LOG_FINISH: Duration = Duration::from_secs(2);
/// Largest page for errors or maintenance, bytes.
pub(crate) const PAGE: u64 = 256 * 1024;
/// Releases that have left the routes are told in the metrics for this long, so that whoever asks now
/// and then sees their last requests.
pub(crate) const RELEASE_LINGERS: Duration = Duration::from_mins(5);
/// Most releases of an app that are told for that reason.
pub(crate) const RELEASES_LINGERING: usize = 4;
/// Counters of a release that has left the routes are kept for this long after something was last seen
/// open on it: whoever judges or reports a deploy has read them by then ...
pub(crate) const COUNTERS_LINGER: Duration = Duration::from_hours(1);
/// ... and those of so many releases of an app, the last to leave, for longer.
pub(crate) const COUNTERS_KEPT: usize = 10;
/// Longest head of somebody who asks for metrics, bytes.
pub(crate) const ASKING_HEAD: usize = 8 * 1024;
/// Time in which that head must come and the metrics be taken.
pub(crate) const ASKING: Duration = Duration::from_secs(10);
/// A proxy that is replaced is asked what it counts this often ...
pub(crate) const ACCOUNT_BEAT: Duration = Duration::from_millis(250);
/// ... and waits this long with its end until it was asked for the last of it. The first answer is waited for as long: less
/// than a controller waits for its own.
pub(crate) const ACCOUNT_WAITS: Duration = Duration::from_millis(1_500);
/// Most who ask for metrics over TCP at a time.
pub(crate) const ASKERS: usize = 32;
/// Open files that are kept for other things than sockets of clients and to instances: listeners, the
/// admin socket and who asks for metrics, logs.
pub(crate) const FILES: u64 = 64;
/// The same for each thread: its runtime, and its duplicates of the listeners.
pub(crate) const FILES_PER_THREAD: u64 = 8;
/// Connections beyond the limit that are answered 503 at a time; those behind them wait. As many of
/// clients that have more than their share are answered 429; those behind them are closed.
pub(crate) const OVERFLOW: usize = 64;
/// Such a connection must begin to say what it wants within this, and have said it within this again;
/// what it still sends after its answer is read for so long.
pub(crate) const OVERFLOW_IDLE: Duration = Duration::from_secs(2);
/// It lasts for this long at most, whatever it does: others want its place.
pub(crate) const OVERFLOW_WHOLE: Duration = Duration::from_secs(8);
/// When clients are told to come back during maintenance, seconds.
pub(crate) const MAINTENANCE_RETRY: &str = "30";
