//! How fast attempts go, for a look by hand.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{OK, ScriptedReceiver, event, outbound, with};
use crate::model::{DeliveryId, Event, Outcome, TimedSecret};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run with --release --ignored --nocapture"]
async fn attempts_per_second() {
    const EACH: u32 = 5000;

    let receiver = ScriptedReceiver::new(|_, mut stream, _| async move {
        // As cheap as can be: every read is taken for one whole request.
        let mut buffer = vec![0; 16 << 10];
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0)
            && stream.write_all(OK).await.is_ok()
        {}
    })
    .await;

    let secret = TimedSecret::current(crate::outbound::generate_secret([1; 32]));
    let endpoint = with(&receiver.endpoint(), |e| e.secrets = vec![secret]);
    let event = Arc::new(Event { body: vec![b'x'; 1024].into(), ..event() });
    let outbound = outbound();
    let start = Instant::now();

    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (outbound, endpoint, event) = (outbound.clone(), endpoint.clone(), event.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    let report = outbound
                        .attempt(DeliveryId { seq: 1, endpoint: 7 }, n, &endpoint, &event)
                        .await;
                    assert_eq!(report.outcome, Outcome::Delivered);
                }
            })
        })
        .collect();

    for worker in workers {
        worker.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} attempts/s", f64::from(16 * EACH) / seconds);
}
