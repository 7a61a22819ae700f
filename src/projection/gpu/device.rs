//! A graphics card that computes: its buffers, its pipelines, and what comes back.

use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{BindGroup, Buffer, BufferUsages, CommandEncoder, ComputePipeline, Device, Queue};

use super::super::affinities::Affinities;

/// Pulls, [N] of x and y, and pushes, [N] of x, y and what each adds to Z.
pub type Forces = (Vec<[f32; 2]>, Vec<[f32; 4]>);

/// What a layout needs of a card.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Bytes of the largest buffer.
    buffer: u64,
}

/// Along an axis of a grid: as much as a workgroup's memory holds a line of.
pub(super) const MOST_PADDED: usize = 2048;
/// Bytes of such a line.
const WORKGROUP_BYTES: u32 = (MOST_PADDED * 8) as u32;
/// Threads of a workgroup.
const GROUP: u32 = 256;

impl Need {
    /// Of layouts of these affinities.
    pub fn new(affinities: &Affinities, by_grid: bool) -> Self {
        let edges = (affinities.values.len().max(affinities.count() * 4) * size_of::<f32>()) as u64;
        let grid = if by_grid { (2 * MOST_PADDED * MOST_PADDED * 8) as u64 } else { 0 };
        Self { buffer: edges.max(grid) }
    }
}

/// The numbers of `Params` in the shader.
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Params {
    pub count: u32,
    pub nodes: u32,
    pub padded: u32,
    pub log_padded: u32,
    pub corner: f32,
    pub spacing: f32,
    pub unused: [u32; 2],
}

/// A card with the shaders of layouts, and the affinities of one.
pub struct Card {
    pub(super) device: Device,
    pub(super) queue: Queue,
    pub(super) module: wgpu::ShaderModule,
    pub(super) params: Buffer,
    edges: Option<Edges>,
}

/// What every step reads and writes.
struct Edges {
    count: usize,
    places: Buffer,
    pulls: Buffer,
    pushes: Buffer,
    /// For the host to read.
    results: Buffer,
    attract: Dispatch,
    pairs: Dispatch,
}

/// A pipeline with what it is given.
pub(super) struct Dispatch {
    pub pipeline: ComputePipeline,
    pub given: BindGroup,
}

impl Dispatch {
    /// Runs it over so many workgroups.
    pub fn run(&self, encoder: &mut CommandEncoder, groups: [u32; 2]) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.given, &[]);
        pass.dispatch_workgroups(groups[0], groups[1], 1);
    }
}

impl Card {
    /// The card the system prefers.
    ///
    /// # Errors
    /// In a clause, where there is none or it lacks what a layout needs.
    pub fn open(need: Need) -> Result<Self, String> {
        pollster::block_on(Self::open_async(need))
    }

    async fn open_async(need: Need) -> Result<Self, String> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|_e| "there is no graphics device".to_owned())?;
        let (name, limits) = (adapter.get_info().name, adapter.limits());
        lacks(&limits, need).map_or(Ok(()), |lack| Err(format!("{name} {lack}")))?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("layout"),
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|e| format!("{name} would not start: {e}"))?;
        // What goes wrong comes back with the next result.
        device.on_uncaptured_error(std::sync::Arc::new(|problem| log::warn!("{problem}")));
        let module = device.create_shader_module(wgpu::include_wgsl!("../../../shaders/tsne.wgsl"));
        let params = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: size_of::<Params>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(Self { device, queue, module, params, edges: None })
    }

    /// Gives it the affinities of a layout.
    ///
    /// # Errors
    /// In a clause, where there are more than it takes.
    pub fn load(&mut self, affinities: &Affinities) -> Result<(), String> {
        let count = affinities.count();
        if affinities.values.len() > u32::MAX as usize {
            return Err(format!(
                "{} affinities are more than a graphics device numbers",
                affinities.values.len()
            ));
        }
        let starts: Vec<u32> = affinities.starts.iter().map(|start| *start as u32).collect();
        let (starts, columns) = (self.filled("starts", &starts), self.filled("columns", &affinities.columns));
        let values = self.filled("values", &affinities.values);
        let places = self.empty("places", count * 8, BufferUsages::COPY_DST);
        let pulls = self.empty("pulls", count * 8, BufferUsages::COPY_SRC);
        let pushes = self.empty("pushes", count * 16, BufferUsages::COPY_SRC);
        let attract = self.step(
            "attract",
            &[],
            &[(0, &self.params), (1, &places), (2, &starts), (3, &columns), (4, &values), (5, &pulls)],
        );
        let pairs = self.step("repel_pairs", &[], &[(0, &self.params), (1, &places), (6, &pushes)]);
        let results = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("results"),
            size: (count * 24) as u64,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.edges = Some(Edges { count, places, pulls, pushes, results, attract, pairs });
        Ok(())
    }

    fn edges(&self) -> &Edges {
        self.edges.as_ref().expect("a card is given its affinities first")
    }

    pub(super) fn places(&self) -> &Buffer {
        &self.edges().places
    }

    pub(super) fn pushes(&self) -> &Buffer {
        &self.edges().pushes
    }

    /// A buffer of these values, for shaders to read.
    pub(super) fn filled<T: bytemuck::Pod>(&self, label: &str, values: &[T]) -> Buffer {
        // No buffer is of no size.
        let contents = if values.is_empty() { &[0u8; 16][..] } else { bytemuck::cast_slice(values) };
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        self.device.create_buffer_init(&BufferInitDescriptor { label: Some(label), contents, usage })
    }

    /// A buffer for shaders.
    pub(super) fn empty(&self, label: &str, bytes: usize, more: BufferUsages) -> Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(16) as u64,
            usage: BufferUsages::STORAGE | more,
            mapped_at_creation: false,
        })
    }

    /// An entry of the shader, with what it is given.
    pub(super) fn step(&self, entry: &str, constants: &[(&str, f64)], given: &[(u32, &Buffer)]) -> Dispatch {
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &self.module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        let entries: Vec<wgpu::BindGroupEntry<'_>> = given
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let given = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch { pipeline, given }
    }

    /// Workgroups for all points.
    pub(super) fn groups(&self) -> [u32; 2] {
        [(self.edges().count as u32).div_ceil(GROUP), 1]
    }

    /// All pairs.
    ///
    /// # Errors
    /// In a clause, where the card is lost.
    pub(super) fn forces_of_pairs(&self, places: &[[f32; 2]]) -> Result<Forces, String> {
        let params = Params { count: places.len() as u32, ..Params::default() };
        self.forces(places, params, |encoder| self.edges().pairs.run(encoder, self.groups()))
    }

    /// Attraction, and the pushes that `repel` encodes.
    pub(super) fn forces(
        &self,
        places: &[[f32; 2]],
        params: Params,
        repel: impl FnOnce(&mut CommandEncoder),
    ) -> Result<Forces, String> {
        let edges = self.edges();
        self.queue.write_buffer(&self.params, 0, bytemuck::bytes_of(&params));
        self.queue.write_buffer(&edges.places, 0, bytemuck::cast_slice(places));
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        edges.attract.run(&mut encoder, self.groups());
        repel(&mut encoder);
        let (pulls, pushes) = ((edges.count * 8) as u64, (edges.count * 16) as u64);
        encoder.copy_buffer_to_buffer(&edges.pulls, 0, &edges.results, 0, pulls);
        encoder.copy_buffer_to_buffer(&edges.pushes, 0, &edges.results, pulls, pushes);
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = crossbeam_channel::bounded(1);
        edges.results.map_async(wgpu::MapMode::Read, .., move |mapped| {
            if sender.send(mapped).is_err() {
                log::debug!("nobody waits for the forces");
            }
        });
        let lost = |problem: &dyn std::fmt::Display| format!("the graphics device was lost ({problem})");
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| lost(&e))?;
        receiver.try_recv().map_err(|e| lost(&e))?.map_err(|e| lost(&e))?;
        let found = {
            let bytes = edges.results.get_mapped_range(..).map_err(|e| lost(&e))?;
            let (first, second) = bytes.split_at(pulls as usize);
            (bytemuck::pod_collect_to_vec(first), bytemuck::pod_collect_to_vec(second))
        };
        edges.results.unmap();
        Ok(found)
    }
}

/// What a device's limits lack, in a clause.
fn lacks(limits: &wgpu::Limits, need: Need) -> Option<String> {
    let bytes = |bytes: u64| crate::units::human_bytes(bytes);
    let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    if limits.max_compute_invocations_per_workgroup < GROUP {
        return Some(format!("runs fewer than {GROUP} threads together"));
    }
    if limits.max_compute_workgroup_storage_size < WORKGROUP_BYTES {
        return Some(format!("gives threads less than {} together", bytes(WORKGROUP_BYTES.into())));
    }
    if most < need.buffer {
        return Some(format!("takes {} at once, this layout needs {}", bytes(most), bytes(need.buffer)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_lacks_is_said() {
        let limits = wgpu::Limits::default();
        assert_eq!(lacks(&limits, Need { buffer: 1 << 20 }), None);
        let large = lacks(&limits, Need { buffer: 1 << 40 }).unwrap();
        assert!(large.contains("this layout needs 1.0 TiB"), "{large}");
        let few = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..limits };
        assert_eq!(lacks(&few, Need { buffer: 1 }).unwrap(), "runs fewer than 256 threads together");
        assert!(lacks(&wgpu::Limits::downlevel_webgl2_defaults(), Need { buffer: 1 }).is_some());
    }
}
