//! How networks are to be trained on a device, found out before anything is allocated.

use crate::{
    data::{dataset::Dataset, subset::Subset},
    engine::{
        config::TrainingConfig,
        gpu::{
            data::{
                dataset::{Uploaded, bytes_of_rows, rows_a_shard},
                stream,
            },
            device::Gpu,
            kernels::kernel_set::Dispatches,
            layout::{
                arenas::{Arenas, Extent, Members},
                buffers::Buffers,
                chunk::{Length, Tempos},
            },
            plan::planner,
        },
        step::Course,
    },
    error::Result,
    nn::network::Network,
    optim::optimizer::Optimizer,
    plan::{Identity, Plan, Scheme},
};

/// Loss and right answers of a step, as `total` writes them.
pub(crate) type Metric = [f32; 2];

/// The most bytes that the metrics of many networks take until they are read.
const METRICS: usize = 64 << 20;

/// What is trained: networks of one shape, each with its course, on one data set.
#[derive(Clone)]
pub(crate) struct Setup<'a> {
    pub(crate) network: &'a Network,
    /// One a model.
    pub(crate) courses: Vec<Course>,
    pub(crate) data: Option<&'a Dataset>,
    /// The same on the device, if it is there already.
    pub(crate) uploaded: Option<Uploaded>,
    /// Whether the device shall not hold it, even if it could.
    pub(crate) streams: bool,
    pub(crate) shuffle: bool,
    /// Steps a chunk; by time if not given.
    pub(crate) chunk: Option<usize>,
    /// The planner's own if not given.
    pub(crate) plan: Option<&'a Plan>,
    /// Whether rows have weights.
    pub(crate) weighted: bool,
    /// The standard deviation of the noise on the features of the data set.
    pub(crate) noise: f32,
}

impl<'a> Setup<'a> {
    /// Networks that are trained alike on one data set, which the device does not hold yet.
    pub(crate) fn new(config: TrainingConfig<'a>, data: Option<&'a Dataset>, courses: Vec<Course>) -> Self {
        let TrainingConfig { network, shuffle, noise, weighted, chunk, plan } = config;
        Self { network, courses, data, uploaded: None, streams: false, shuffle, chunk, plan, weighted, noise }
    }
}

/// What is allocated for a setup, and what runs on it.
pub(crate) struct Draft<'a> {
    pub(crate) setup: Setup<'a>,
    pub(crate) members: Members,
    pub(crate) scheme: Scheme,
    pub(crate) arenas: Arenas,
    pub(crate) dispatches: Dispatches,
    pub(crate) tempos: Tempos,
    pub(crate) length: Length,
}

impl<'a> Draft<'a> {
    /// Finds out how these networks are trained, and refuses what the device cannot hold.
    pub(crate) fn new(gpu: &Gpu, setup: Setup<'a>) -> Result<Self> {
        let Setup { network, ref courses, data, shuffle, plan, weighted, noise, .. } = setup;
        let course = courses[0].clone();
        // A penalty of 0 changes nothing, but one that is not linked cannot be another.
        let penalized = courses.iter().map(|course| course.optimizer).find(Optimizer::penalizes);
        let optimizer = penalized.unwrap_or(course.optimizer);
        let epoch = courses.iter().map(Course::steps_per_epoch).max().unwrap_or(1) as usize;
        let ring = epoch.next_power_of_two().clamp(1 << 12, 1 << 16);
        let ring = 2 * ring.min((gpu.most_bytes() / 2).min(METRICS) / 2 / courses.len() / size_of::<Metric>()).max(1);
        let keeps_gradients =
            course.accumulate > 1 || course.optimizer.needs_whole_gradients() || network.has_vectors();
        let extent = Extent {
            rows: course.batch,
            models: courses.len(),
            ring,
            limit: gpu.most_bytes(),
            keeps_gradients,
            weighted,
        };
        let arenas = Arenas::new(network, extent);
        let scheme = match plan {
            Some(plan) => {
                identity(gpu, network, course.batch).check(&plan.of)?;
                plan.scheme.clone()
            }
            None => planner::scheme(gpu, &arenas),
        };
        let arenas = arenas.with_scheme(&scheme);
        let scale = data.and_then(|data| data.rest().scale_of_bytes()).unwrap_or(1.0);
        let streams =
            setup.uploaded.is_none() && data.is_some_and(|data| setup.streams || stream::streams(gpu, data, weighted));
        let members = Members {
            accumulate: course.accumulate,
            shuffle,
            data_rows: data.map_or(1, Dataset::rows),
            scale,
            noise,
            is_scaled: data.is_some_and(|data| data.scaler().is_some()),
            has_subsets: !streams && courses.iter().any(|course| course.subset.is_some()),
            streams,
            labels: course.labels,
            has_dropouts: courses.iter().any(|course| course.dropout.is_some()),
            ..Members::of(network, course.loss, optimizer)
        };
        planner::check(gpu, &scheme, &arenas)?;
        let (features, answers) = (data.map(Dataset::features), data.map(Dataset::answers));
        let tempos = Tempos::new(courses);
        let mut length = Length::new(gpu, &arenas, tempos.count());
        match data {
            Some(data) if streams => {
                let rows = arenas.models * arenas.batch;
                length.chunk = length.chunk.min(stream::at_once(gpu, data, rows, weighted)?);
            }
            Some(data) => drop(rows_a_shard(gpu, data, weighted)?),
            None => {}
        }
        let dispatches = Dispatches::new(&arenas, &members, &scheme, features, answers, length);
        arenas.check(members.optimizer, &gpu.limits)?;
        dispatches.check(gpu)?;
        Buffers::check(gpu, length)?;
        Ok(Self { setup, members, scheme, arenas, dispatches, tempos, length })
    }

    /// What a training allocates on the device: names and bytes.
    pub(crate) fn bytes(&self) -> Vec<(&'static str, u64)> {
        let Self { setup, members, arenas, length, .. } = self;
        let mut all = arenas.bytes(members.optimizer).to_vec();
        all.extend(Buffers::tables(*length));
        all.push(("losses that are read", (arenas.models * arenas.ring * size_of::<Metric>()) as u64));
        if members.has_subsets {
            all.push(("rows of each network", (arenas.models * size_of::<Subset>()) as u64));
        }
        if let Some(data) = setup.data.filter(|_| setup.uploaded.is_none()) {
            let weighted = setup.weighted;
            all.push(if members.streams {
                let rows = length.chunk * arenas.models * arenas.batch;
                ("rows on their way", stream::bytes_of_ring(data, rows, weighted))
            } else {
                ("data set", bytes_of_rows(data, data.rows(), weighted))
            });
        }
        all
    }
}

/// What a plan of this network is made for on a device.
pub(crate) fn identity(gpu: &Gpu, network: &Network, batch: usize) -> Identity {
    let info = &gpu.info;
    let device = format!("{}, {}", info.name, info.backend);
    Identity::new(device, format!("{} {}", info.driver, info.driver_info), network, batch)
}
