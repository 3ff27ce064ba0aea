/** What the status bar shows, from the server's STATUS (docs/protocol.md) and the settings. */
import * as vscode from 'vscode';

export interface Status {
  kind: 'normal' | 'busy' | 'error' | 'inactive';
  message: string;
}

const ICONS = { normal: 'sparkle', busy: 'loading~spin', error: 'warning', inactive: 'circle-slash' };

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('midfill', vscode.StatusBarAlignment.Right, 100);
  private status: Status = { kind: 'busy', message: 'starting' };

  constructor() {
    this.item.name = 'midfill';
    // Every command of ours, in the editor's own list.
    this.item.command = { title: 'midfill', command: 'workbench.action.quickOpen', arguments: ['>midfill: '] };
    this.item.show();
  }

  set(kind: Status['kind'], message: string): void {
    this.status = { kind, message };
    this.draw();
  }

  /** Draw again, as when another file is shown. */
  draw(): void {
    const language = vscode.window.activeTextEditor?.document.languageId;
    const isOff = this.status.kind === 'normal' && !isEnabled(language);
    const { kind, message } = isOff ? { kind: 'inactive' as const, message: `off for ${language}` } : this.status;
    this.item.text = `$(${ICONS[kind]}) midfill`;
    this.item.tooltip = `midfill: ${message}`;
    this.item.backgroundColor = kind === 'error' ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
  }

  dispose(): void {
    this.item.dispose();
  }
}

/** Turn suggestions on or off, in the language of the file that is shown or everywhere. */
export async function toggle(language?: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration('midfill');
  const off = settings.get<string[]>('disabledLanguages', []);
  const [name, value] = language === undefined
    ? ['enabled', !settings.get('enabled', true)]
    : ['disabledLanguages', off.includes(language) ? off.filter((other) => other !== language) : [...off, language]];
  await settings.update(name, value, vscode.ConfigurationTarget.Global);
}

function isEnabled(language?: string): boolean {
  const settings = vscode.workspace.getConfiguration('midfill');
  return settings.get('enabled', true) && !settings.get<string[]>('disabledLanguages', []).includes(language ?? '');
}
