import type { Binding } from '../tensor/binding.js';
import type { Dispatch } from './commands.js';
import { buffersOf } from './kernel.js';

/** The buffers of a dispatch, bound to the binding numbers that its kernel declares. */
export function bindGroup(
  gpu: GPUDevice,
  { kernel, entry, label, bindings }: Dispatch,
  layout: GPUBindGroupLayout,
  { step, params }: { readonly step: GPUBuffer; readonly params: GPUBufferBinding },
  resolve: (binding: Binding) => { buffer: GPUBuffer; offset: number },
): GPUBindGroup {
  const resourceOf = (name: string): GPUBufferBinding => {
    if (name === 'params') return params;
    const bound = bindings.get(name);
    // an index list that is not bound: the layout requires a buffer, although nothing reads it
    if (name === 'step' || !bound) return { buffer: step };
    return { ...resolve(bound), size: Math.ceil(bound.bytes / 16) * 16 };
  };
  const declared = Object.entries(buffersOf(kernel, entry));
  const entries = declared.map(([name, { binding }]) => ({ binding, resource: resourceOf(name) }));
  return gpu.createBindGroup({ label, layout, entries });
}
