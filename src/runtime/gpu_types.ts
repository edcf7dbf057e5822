// WebGPU's types for the package's declarations: those of the user's project if it has them (lib "dom" of TypeScript 6
// and later, or @webgpu/types), otherwise minimal types that suffice to pass such objects on. The library itself uses
// WebGPU's names; ../../declarations.mjs replaces them by these in the build.

type Known<Name extends string, Fallback> =
  typeof globalThis extends Record<Name, { prototype: infer T }> ? T : Fallback;

interface Labeled {
  label: string;
}

interface BufferFallback extends Labeled {
  readonly size: number;
  readonly usage: number;
  destroy(): void;
}

interface QueueFallback extends Labeled {
  onSubmittedWorkDone(): Promise<unknown>;
}

interface AdapterInfoFallback {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
}

interface LimitsFallback {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

interface AdapterFallback {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly info: GPUAdapterInfo;
}

interface DeviceFallback extends Labeled {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly adapterInfo: GPUAdapterInfo;
  readonly queue: QueueFallback;
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  destroy(): void;
}

interface GpuFallback {
  requestAdapter(options?: { readonly powerPreference?: GPUPowerPreference }): Promise<GPUAdapter | null>;
}

export type GPU = Known<'GPU', GpuFallback>;
export type GPUAdapter = Known<'GPUAdapter', AdapterFallback>;
export type GPUAdapterInfo = Known<'GPUAdapterInfo', AdapterInfoFallback>;
export type GPUBindGroup = Known<'GPUBindGroup', Labeled>;
export type GPUBindGroupLayout = Known<'GPUBindGroupLayout', Labeled>;
export type GPUBuffer = Known<'GPUBuffer', BufferFallback>;
export type GPUComputePipeline = Known<'GPUComputePipeline', Labeled>;
export type GPUDevice = Known<'GPUDevice', DeviceFallback>;
export type GPUSupportedLimits = Known<'GPUSupportedLimits', LimitsFallback>;

// These two have no global class to test for.
export type GPUPowerPreference = 'low-power' | 'high-performance';
export interface GPUBufferBinding {
  buffer: GPUBuffer;
  offset?: number;
  size?: number;
}

/** Each fallback paired with WebGPU's own type, for a test that one describes the other. */
export interface Fallbacks {
  readonly GPU: GpuFallback;
  readonly GPUAdapter: AdapterFallback;
  readonly GPUAdapterInfo: AdapterInfoFallback;
  readonly GPUBindGroup: Labeled;
  readonly GPUBindGroupLayout: Labeled;
  readonly GPUBuffer: BufferFallback;
  readonly GPUComputePipeline: Labeled;
  readonly GPUDevice: DeviceFallback;
  readonly GPUSupportedLimits: LimitsFallback;
}
