/** Starts the midfill language server and puts what it says where one looks for it; completes nothing by itself. */
import * as vscode from 'vscode';
import {
  ClientCapabilities, ExecuteCommandRequest, LanguageClient, ResponseError, State, StaticFeature,
} from 'vscode-languageclient/node';
import { Pages } from './documents';
import * as server from './server';
import { Status, StatusBar, isEnabled, toggle, toggleLanguage } from './status';

const METHOD_NOT_FOUND = -32601;

export async function activate(context: vscode.ExtensionContext): Promise<Midfill> {
  const midfill = new Midfill(context);
  await midfill.start();
  return midfill;
}

export class Midfill {
  private client: LanguageClient | undefined;
  private readonly log = vscode.window.createOutputChannel('midfill', { log: true });
  private readonly bar = new StatusBar();
  private readonly pages = new Pages();

  constructor(private readonly context: vscode.ExtensionContext) {
    const command = (name: string, action: () => unknown) => vscode.commands.registerCommand(`midfill.${name}`, action);
    context.subscriptions.push(
      this.log, this.bar, { dispose: () => void this.client?.dispose() },
      vscode.workspace.registerTextDocumentContentProvider('midfill', this.pages),
      vscode.window.onDidChangeActiveTextEditor(() => this.bar.draw()),
      vscode.workspace.onDidChangeConfiguration((event) => void this.configured(event)),
      command('menu', () => this.menu()),
      command('toggle', toggle),
      command('toggleLanguage', () => this.toggleLanguage()),
      command('index', () => this.index()),
      command('why', () => this.why()),
      command('stats', () => this.stats()),
      command('chooseModel', () => this.chooseModel()),
      command('restart', () => this.restart()),
      command('openLog', () => this.log.show()),
      command('install', () => this.install()),
    );
  }

  /** Start the server, or say that there is none. */
  async start(): Promise<void> {
    const path = server.find(this.context.globalStorageUri);
    await vscode.commands.executeCommand('setContext', 'midfill.found', path !== undefined);
    if (!path) {
      this.bar.set('warning', 'the server is not installed');
      this.log.warn('no midfill program was found; the setting midfill.server.path names one');
      void this.offerInstallation();
      return;
    }
    this.log.info(`starting ${path}`);
    const client = this.makeClient(path);
    this.client = client;
    this.bar.set('loading~spin', 'starting');
    try {
      await client.start();
    } catch (error) {
      this.bar.set('warning', `${path} does not start; see the log`);
      this.log.error(String(error));
    }
  }

  private makeClient(path: string): LanguageClient {
    const files = ['file', 'untitled', 'vscode-notebook-cell'].map((scheme) => ({ scheme }));
    const client = new LanguageClient('midfill', 'midfill', { command: path, args: ['lsp'] }, {
      documentSelector: files,
      outputChannel: this.log,
      middleware: { workspace: { configuration: async (params, token, next) => forServer(await next(params, token)) } },
    });
    client.registerFeature(statusFeature);
    client.onNotification('midfill/didChangeStatus', (status: Status) => this.bar.update(status));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        // Only once it has answered are the client's features, suggestions among them, there.
        void client.sendRequest<Status>('midfill/status', {}).then(
          (status) => this.bar.update(status), () => this.bar.set('sparkle', 'running'));
      } else if (newState === State.Stopped) {
        this.bar.set('warning', 'the server has ended');
      }
    });
    return client;
  }

  private async restart(): Promise<void> {
    const old = this.client;
    this.client = undefined;
    await old?.dispose().catch((error: unknown) => this.log.warn(String(error)));
    await this.start();
  }

  private async configured(event: vscode.ConfigurationChangeEvent): Promise<void> {
    if (event.affectsConfiguration('midfill.server.path')) {
      await this.restart();
    }
    this.bar.draw();
  }

  private async install(): Promise<void> {
    await server.install(this.context.globalStorageUri);
    await this.restart();
  }

  private async offerInstallation(): Promise<void> {
    const [install, settings] = ['Install', 'Set the Path'];
    const picked = await vscode.window.showInformationMessage('midfill: its server is not installed here.', install, settings);
    if (picked === install) {
      await this.install();
    } else if (picked === settings) {
      await vscode.commands.executeCommand('workbench.action.openSettings', 'midfill.server.path');
    }
  }

  private async menu(): Promise<void> {
    const language = vscode.window.activeTextEditor?.document.languageId;
    const entries: (vscode.QuickPickItem & { command: string })[] = [
      { label: isEnabled() ? '$(circle-slash) Disable' : '$(check) Enable', command: 'toggle' },
      { label: '$(question) Why this suggestion', command: 'why' },
      { label: '$(graph) Statistics', command: 'stats' },
      { label: '$(server) Choose a model', command: 'chooseModel' },
      { label: '$(refresh) Index the workspace again', command: 'index' },
      { label: '$(debug-restart) Restart the server', command: 'restart' },
      { label: '$(output) Open the log', command: 'openLog' },
    ];
    if (language && isEnabled()) {
      const label = isEnabled(language) ? `$(circle-slash) Disable for ${language}` : `$(check) Enable for ${language}`;
      entries.splice(1, 0, { label, command: 'toggleLanguage' });
    }
    const picked = await vscode.window.showQuickPick(entries, { title: 'midfill' });
    if (picked) {
      await vscode.commands.executeCommand(`midfill.${picked.command}`);
    }
  }

  private async toggleLanguage(): Promise<void> {
    const language = vscode.window.activeTextEditor?.document.languageId;
    if (language) {
      await toggleLanguage(language);
    }
  }

  private async why(): Promise<void> {
    const uri = vscode.window.activeTextEditor?.document.uri.toString();
    const why = await this.ask<{ text: string } | null>('midfill/why', uri ? { textDocument: { uri } } : {});
    if (why !== undefined) {
      await this.pages.show('why', why?.text ?? 'Nothing has been asked in this file yet.');
    }
  }

  private async stats(): Promise<void> {
    const stats = await this.ask<{ text: string }>('midfill/stats', {});
    if (stats) {
      await this.pages.show('stats', stats.text);
    }
  }

  /** The server reports its progress, which the client library shows. */
  private async index(): Promise<void> {
    await this.client?.sendRequest(ExecuteCommandRequest.type, { command: 'midfill.reindex' });
  }

  private async chooseModel(): Promise<void> {
    const path = server.find(this.context.globalStorageUri);
    const listed = path ? await server.ask(path, 'model', 'list', '--json').then(JSON.parse, () => []) : [];
    const names = (listed as { name: string; source?: string }[]).map(({ name, source }) => ({ label: name, description: source }));
    const [folder, other] = [{ label: '$(folder) A model folder…' }, { label: '$(edit) Another name…' }];
    const picked = await vscode.window.showQuickPick([{ label: 'default' }, ...names, folder, other], { title: 'midfill: model' });
    let model = picked?.label;
    if (picked === folder) {
      const chosen = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false });
      model = chosen?.[0]?.fsPath;
    } else if (picked === other) {
      model = await vscode.window.showInputBox({ title: 'midfill: model', prompt: 'A model folder, or a name in the local cache' });
    }
    if (model) {
      await vscode.workspace.getConfiguration('midfill').update('model', model, vscode.ConfigurationTarget.Global);
    }
  }

  /** Ask the server; what goes wrong is one message, and the result undefined. */
  private async ask<Result>(method: string, params: object): Promise<Result | undefined> {
    if (!this.client?.isRunning()) {
      void vscode.window.showWarningMessage('midfill: the server is not running.');
      return undefined;
    }
    try {
      return await this.client.sendRequest<Result>(method, params);
    } catch (error) {
      const isOld = error instanceof ResponseError && error.code === METHOD_NOT_FOUND;
      const message = isOld ? `the installed server does not know ${method}; update it.` : String(error);
      void vscode.window.showWarningMessage(`midfill: ${message}`);
      return undefined;
    }
  }
}

/** Tells the server that we listen to `midfill/didChangeStatus`. */
const statusFeature: StaticFeature = {
  fillClientCapabilities(capabilities: ClientCapabilities) {
    capabilities.experimental = { ...capabilities.experimental, midfill: { statusNotifications: true } };
  },
  initialize: () => undefined,
  getState: () => ({ kind: 'static' }),
  clear: () => undefined,
};

/** Leave out the settings that are the extension's own. */
function forServer(results: unknown): unknown[] {
  return (Array.isArray(results) ? results : []).map((result) => {
    if (typeof result !== 'object' || result === null) {
      return result;
    }
    const { server: _server, trace: _trace, ...settings } = result as Record<string, unknown>;
    return settings;
  });
}
