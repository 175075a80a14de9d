//! The end of a server: rollouts halt, users are seen off, instances end.
//!
//! The order is the one of a drain: nothing new, then no request that could still come, then the
//! instances are told, and tunnels get the time they need. Somebody in a hurry cuts it short.

use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;

use super::orders::{AppStatus, Order};
use super::reach::Reach;
use super::steering::Steering;

/// Stops everything; returns when nothing runs any more. `drain` is how long requests may take;
/// once `hurried` resolves, what is open is cut and instances get a second.
pub(super) async fn stop(
    steering: &mut Steering,
    reach: &Reach,
    drain: Duration,
    hurried: impl Future<Output = ()>,
) {
    super::say("stopping: requests finish, then instances end (again to hurry)");
    tell_apps(reach, |reply| Order::Halt { reply }).await;
    tokio::select! {
        biased;
        () = hurried => {
            super::say("hurrying");
            steering.stop(Duration::ZERO).await;
            stop_apps(reach, true).await;
        }
        () = wind_down(steering, reach, drain) => {}
    }
    steering.forget().await;
}

/// Requests first, then instances, then whatever still hangs on a tunnel.
async fn wind_down(steering: &mut Steering, reach: &Reach, drain: Duration) {
    steering.close().await;
    let clients = steering.clients().await;
    let drained = steering.stop(drain);
    tokio::select! {
        () = drained => {}
        // Tunnels end only when their apps say so: tell the apps once no request can come any more.
        () = async {
            quiet(reach).await;
            clients.gone().await;
            stop_apps(reach, false).await;
            std::future::pending::<()>().await;
        } => {}
    }
    stop_apps(reach, false).await;
}

/// Resolves when no app has a request open.
async fn quiet(reach: &Reach) {
    for desk in reach.desks.values() {
        let mut status = desk.status.clone();
        // A controller that is gone has nothing open.
        drop(status.changed().await);
        drop(status.wait_for(idle).await);
    }
}

/// Of a router that does not answer nothing is known.
fn idle(status: &AppStatus) -> bool {
    status.router_seen && status.pools.iter().all(|pool| pool.requests == 0)
}

/// Stops every app's instances and waits for them; `now` gives them a second only.
async fn stop_apps(reach: &Reach, now: bool) {
    tell_apps(reach, |reply| Order::Stop { now, reply }).await;
}

/// Gives every app's controller an order and waits until all have carried it out.
async fn tell_apps(reach: &Reach, order: impl Fn(oneshot::Sender<()>) -> Order) {
    let mut answers = Vec::new();
    for desk in reach.desks.values() {
        let (reply, answer) = oneshot::channel();
        if desk.orders.send(order(reply)).await.is_ok() {
            answers.push(answer);
        }
    }
    for answer in answers {
        // An error means that the controller is gone, and so are its instances.
        drop(answer.await);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drivers::platform::FleetHave;

    use super::idle;
    use crate::server::{show, sight};

    #[test]
    fn an_app_whose_router_does_not_answer_is_not_idle() {
        let app = model::AppName::new("web").unwrap();
        let mut routes = sight::unseen(&app);
        let fleet = FleetHave {
            app: app.clone(),
            change: 0,
            now_ms: 0,
            instances: Vec::new(),
            releases: Vec::new(),
            last_numbers: BTreeMap::new(),
            free_ports: Vec::new(),
        };
        assert!(!idle(&show::status(&app, None, &fleet, &routes)));
        routes.pid = Some(7);
        assert!(idle(&show::status(&app, None, &fleet, &routes)));
    }
}
