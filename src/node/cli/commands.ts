// The commands of the command line, by group; each is loaded when it is called.
import type { CommandEntry } from './command.js';

/** Every command, by group; what one does is loaded when it is called. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'pretrain',
    group: 'Train',
    summary: 'train a host and its slim encoder without labels',
    load: async () => (await import('./pretrain.js')).pretrainCommand,
  },
  {
    name: 'demo',
    group: 'Train',
    summary: 'train on real images in minutes, and show what was learned',
    load: async () => (await import('./demo.js')).demoCommand,
  },
  {
    name: 'eval',
    group: 'Evaluate',
    summary: 'measure an encoder: kNN, and cross-style retrieval on emoji',
    load: async () => (await import('./eval.js')).evalCommand,
  },
  {
    name: 'linear',
    group: 'Evaluate',
    summary: 'train a linear layer on the frozen encoder, and test it',
    load: async () => (await import('./train_classifier.js')).linearCommand,
  },
  {
    name: 'finetune',
    group: 'Evaluate',
    summary: 'train the whole encoder on labeled images, and test it',
    load: async () => (await import('./train_classifier.js')).finetuneCommand,
  },
  {
    name: 'embed',
    group: 'Use',
    summary: 'write the embeddings of the images in a folder',
    load: async () => (await import('./embed.js')).embedCommand,
  },
  {
    name: 'classify',
    group: 'Use',
    summary: 'write the classes of the images in a folder',
    load: async () => (await import('./classify.js')).classifyCommand,
  },
  {
    name: 'recalibrate',
    group: 'Use',
    summary: "re-estimate an encoder's batchnorm statistics from images",
    load: async () => (await import('./recalibrate.js')).recalibrateCommand,
  },
  {
    name: 'export',
    group: 'Use',
    summary: 'write an encoder as ONNX, or as safetensors for torchvision',
    load: async () => (await import('./export.js')).exportCommand,
  },
  {
    name: 'cost',
    group: 'About',
    summary: 'count the FLOPs of a training; needs no adapter',
    load: async () => (await import('./cost.js')).costCommand,
  },
  {
    name: 'doctor',
    group: 'About',
    summary: 'versions, adapters and speed; proves that the adapter computes',
    load: async () => (await import('./doctor.js')).doctorCommand,
  },
  {
    name: 'completion',
    group: 'About',
    summary: 'print a script that completes command lines in a shell',
    load: async () => (await import('./completion.js')).completionCommand(commands),
  },
];
