//! Shares a host renderer's wgpu device: its texture becomes a tensor, is changed, and goes back to a texture, without a
//! way through host memory.
//!
//! `cargo run -p lumigrad --example share_device`

use lumigrad::core::ops::{Border, conv2d_separable};
use lumigrad::core::{Device, Tensor, Var, wgpu};
use std::error::Error;

/// What a host renderer has before it meets lumigrad.
struct Host {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Host {
    fn open() -> Result<Self, Box<dyn Error>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
        // Features that lumigrad uses where they are on: native float atomics.
        let required_features = adapter.features() & wgpu::Features::SHADER_FLOAT32_ATOMIC;
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        Ok(Self { adapter, device, queue })
    }

    /// An sRGB texture, black but for one white texel in its middle.
    fn draw(&self, size: u32) -> wgpu::Texture {
        let texture = self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("host picture"),
            size: wgpu::Extent3d { width: size, height: size, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8UnormSrgb,
            usage: wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let middle = size * size / 2 + size / 2;
        let texels: Vec<u8> =
            (0..size * size).flat_map(|i| if i == middle { [255; 4] } else { [0, 0, 0, 255] }).collect();
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * size), rows_per_image: None };
        self.queue.write_texture(texture.as_image_copy(), &texels, layout, texture.size());
        texture
    }
}

/// Blurs a host's texture in place, in linear light.
fn blur(shared: &Device, texture: &wgpu::Texture) -> lumigrad::core::Result<()> {
    let picture = Var::from(Tensor::from_texture(shared, texture)?);
    conv2d_separable(&picture, &[0.25, 0.5, 0.25], Border::Reflect)?.tensor().copy_to_texture(texture)
}

fn run(host: &Host) -> Result<Vec<f32>, Box<dyn Error>> {
    let shared = Device::from_wgpu(&host.adapter, host.device.clone(), host.queue.clone());
    let texture = host.draw(8);
    blur(&shared, &texture)?;
    // Here the host would go on drawing with its texture; we look at it.
    Ok(Tensor::from_texture(&shared, &texture)?.to_vec()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let linear = run(&Host::open()?)?;
    for row in linear.chunks(8 * 4) {
        println!("{}", row.chunks(4).map(|texel| format!("{:.3} ", texel[0])).collect::<String>());
    }
    Ok(())
}

#[test]
fn the_hosts_texture_is_blurred_where_it_is() {
    let host = match Host::open() {
        Ok(host) => host,
        Err(e) if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none() => return eprintln!("skipped: share_device: {e}"),
        Err(e) => panic!("{e}"),
    };
    let found = run(&host).unwrap();
    // 8-bit sRGB resolves linear light to about 0.004 here.
    let at = |x: usize, y: usize| found[(8 * y + x) * 4];
    for (x, y, expected) in [(4, 4, 0.25), (3, 4, 0.125), (4, 5, 0.125), (5, 5, 0.0625), (4, 6, 0.0), (0, 0, 0.0)] {
        assert!((at(x, y) - expected).abs() < 4e-3, "({x}, {y}): {} for {expected}", at(x, y));
    }
    assert!(found.chunks(4).all(|texel| (texel[3] - 1.0).abs() < 4e-3));
}
